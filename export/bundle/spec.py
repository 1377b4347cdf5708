"""One named tensor: the one type for it, from a system's record over graphs and galleries to the wire."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class TensorSpec:
    """A tensor's name, element type and sizes.

    Args:
        dtype: a numpy name: uint8, int64, float32, ...
        dims: a number, or a name where it varies. The batch is in front where there is one: see ``batched``.
        stored: the dtype in which a gallery keeps it, where it is part of a video record.
        scored: whether the scorer reads it, or only a search's first stage, where it is part of a record.
    """

    name: str
    dtype: str
    dims: tuple[int | str, ...]
    stored: str = "float16"
    scored: bool = True

    @property
    def shape(self) -> tuple[int, ...]:
        """``dims`` with -1 for every dimension that varies."""
        return tuple(-1 if isinstance(d, str) else d for d in self.dims)

    def batched(self, dimension: str) -> TensorSpec:
        """The same tensor with a dimension of that name in front."""
        return replace(self, dims=(dimension, *self.dims))

    def unbatched(self) -> TensorSpec:
        """The same tensor without its first dimension."""
        return replace(self, dims=self.dims[1:])


@dataclass(frozen=True)
class GraphPorts:
    """The inputs and outputs of one graph, in order."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
