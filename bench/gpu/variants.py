"""The kernels that can score a gallery on a device: the one that is used, and those that wait to be measured."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from typing import Any
from unittest import mock

from ...kernels.device.tile import Tile, regime
from ...kernels.topk_attention import configs
from ...kernels.topk_attention.configs import Storage
from ..schema.gpu import Built, TileSizes
from .floor import SHAPE


@dataclass(frozen=True)
class Variant:
    """A tile with its kernel, for a storage and a number of queries on an architecture."""

    arch: int
    storage: Storage
    queries: int
    tile: Tile

    @property
    def sizes(self) -> TileSizes:
        """The tile as rows have it."""
        return TileSizes(*astuple(self.tile))

    def __str__(self) -> str:
        numbers = " ".join(map(str, astuple(self.tile)[:-1]))
        return f"{self.storage:14}{self.queries:5}  {self.tile.kernel:9} {numbers}"

    def line(self) -> str:
        """What ``configs.OWN`` has to hold for this variant to be used."""
        key = (configs.row_of(self.arch), regime(self.queries), self.storage)
        return f"    {key!r}: {self.tile!r},".replace("'", '"')


def used(arch: int, storage: Storage, queries: int) -> Variant:
    """The variant that the tables have."""
    from ...kernels.topk_attention.plans import plan

    return Variant(arch, storage, queries, plan(SHAPE, storage, queries, arch).tile)


def waiting(arch: int, storage: Storage, queries: int) -> list[Variant]:
    """The candidates."""
    key = (configs.row_of(arch), regime(queries), storage)
    return [Variant(arch, storage, queries, tile) for tile in configs.CANDIDATES.get(key, ())]


@contextmanager
def taking(variant: Variant) -> Iterator[None]:
    """While it is open the kernels' launcher takes this variant where it fits."""
    key = (configs.row_of(variant.arch), regime(variant.queries), variant.storage)
    with mock.patch.dict(configs.OWN, {key: variant.tile}):
        yield


def code(made: Any, sizes: TileSizes) -> Built:
    """What a started kernel's machine code takes; zeros where it was interpreted."""
    if made is None:
        return Built(sizes, 0, 0, 0)
    # The Triton compiler counts words of four bytes.
    return Built(sizes, made.n_regs, 4 * made.n_spills, made.metadata.shared)
