"""What anybody may call: the models of a deployment as clients see them, and which served model answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...export.bundle.limits import MAX_VIDEO_BYTES
from ...export.bundle.spec import TensorSpec
from .contents import DATATYPES
from .upstream import Tensor

VERSION = "1"
BATCH = "batch size"
# What is said of a video, in one request with it.
BESIDE_VIDEO = 4 << 20
# A video of 256 MiB, or as much of video records, and what is said of them.
LARGEST_TENSORS = MAX_VIDEO_BYTES + BESIDE_VIDEO


@dataclass(frozen=True)
class Port:
    """An input or output on the wire; ``dims`` have the batch in front, and names where they vary.

    Inputs that are ``optional`` come all or not at all; outputs come where the request has parameters.
    """

    datatype: str
    dims: tuple[int | str, ...]
    itemsize: int
    optional: bool = False

    @property
    def shape(self) -> list[int]:
        """``dims`` with -1 where they vary."""
        return [-1 if isinstance(dim, str) else dim for dim in self.dims]


@dataclass(frozen=True)
class Public:
    """A model that clients may call.

    Attributes:
        max_batch: the most rows of one request; 0 where it has no batch.
        roles: those that may call it.
        upstream: the served model that answers.
        detailed: the one that answers requests with parameters, where that is another.
        named: the one that answers requests that name candidates, where that is another.
        steps: the models whose processes have to run for that.
        parameters: what its configuration tells clients.
        takes: parameters that a request may have, see ``search.options``.
        given: options that every request has.
        fixed: tensors that go upstream with every request.
        largest: bytes of all tensors of one request.
    """

    name: str
    max_batch: int
    inputs: Mapping[str, Port]
    outputs: Mapping[str, Port]
    roles: frozenset[str]
    upstream: str
    steps: tuple[str, ...]
    parameters: Mapping[str, str] = field(default_factory=dict)
    takes: frozenset[str] = frozenset()
    given: Mapping[str, Any] = field(default_factory=dict)
    fixed: Sequence[Tensor] = ()
    detailed: str = ""
    named: str = ""
    largest: int = LARGEST_TENSORS


def ports(specs: Iterable[TensorSpec], *, batched: bool, optional: Iterable[str] = ()) -> dict[str, Port]:
    """The ports of tensors, whose dims leave out the batch where they are ``batched``."""
    return {
        spec.name: Port(
            DATATYPES[spec.dtype],
            (BATCH, *spec.dims) if batched else spec.dims,
            np.dtype(spec.dtype).itemsize,
            spec.name in optional,
        )
        for spec in specs
    }
