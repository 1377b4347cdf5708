"""Which rows of a gallery lie on which device: stripes in turn, so that all grow alike and nothing ever moves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..lanes import LANES

# Rows of a stripe, which are sent at once: blocks of 16 lie whole in one.
STRIPE = 4096


@dataclass(frozen=True)
class Share:
    """The rows of device ``number`` of so many: in their order, so that a lower row is a lower one there."""

    number: int
    devices: int

    def count(self, rows: int) -> int:
        """How many of the first ``rows`` of a gallery are its own."""
        rounds, rest = divmod(rows, STRIPE * self.devices)
        return rounds * STRIPE + min(max(rest - self.number * STRIPE, 0), STRIPE)

    def rows(self, own: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """The gallery's rows that are number ``own`` here."""
        stripe, place = np.divmod(own, STRIPE)
        return (stripe * self.devices + self.number) * STRIPE + place

    def runs(self, own: int, rows: int) -> Iterator[tuple[int, slice]]:
        """Where here, and which of the first ``rows`` of a gallery lie together, from row ``own`` on or a bit before.

        Each begins with a block of 16.
        """
        own -= own % LANES
        while own < self.count(rows):
            start = (own // STRIPE * self.devices + self.number) * STRIPE + own % STRIPE
            stop = min(start + STRIPE - own % STRIPE, rows)
            yield own, slice(start, stop)
            own += stop - start
