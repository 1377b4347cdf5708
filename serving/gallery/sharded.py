"""All shards of a gallery as one place that records are brought into."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .blocks import Block
from .schema import GallerySchema
from .shard import part_of
from .store import Brought, Gallery


@dataclass(frozen=True)
class Sharded:
    """A gallery in ``shards``, all of them in their order.

    Of several processes that write at the same time each numbers its rows behind those that it has heard of.
    """

    shards: Sequence[Gallery]

    @property
    def schema(self) -> GallerySchema:
        """Whose records they hold."""
        return self.shards[0].schema

    @property
    def count(self) -> int:
        """The number of videos of all."""
        return sum(shard.count for shard in self.shards)

    def bring(self, block: Block, *, replace: bool) -> Brought:
        """As ``Gallery.bring``, in a commit for each shard that keeps some of the block, one after another.

        Raises:
            InvalidRequest, GalleryError: as of ``Gallery.bring``; shards before the one that failed keep theirs.
        """
        parts = np.array([part_of(id_, len(self.shards)) for id_ in block.ids])
        found = []
        for number in np.unique(parts).tolist():
            shard = self.shards[number]
            shard.least = max(each.version for each in self.shards)
            found.append(shard.bring(block.take(np.flatnonzero(parts == number).tolist()), replace=replace))
        other = [id_ for brought in found for id_ in brought.other]
        return Brought(sum(brought.added for brought in found), sum(brought.same for brought in found), other)

    def index(self) -> None:
        """Have every shard's index on ids cover all its rows.

        Raises:
            GalleryError: as of ``Gallery.index``.
        """
        for shard in self.shards:
            shard.index()
