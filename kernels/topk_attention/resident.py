"""One device's share of a gallery, which stays there: what is new is sent, and searches find the share's best.

Letters in shapes: ``layout``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..cuda.column import Column, Scratch
from ..cuda.device import Device
from ..cuda.share import Share
from ..device.memory import SCORES_AT_ONCE, NoRoom, search_bytes
from ..device.tile import GROUP
from ..walk import Live, Rows
from .certified.records import StepVectors
from .layout import LANES, HeadShape, blocks
from .merging import best_of
from .operands import Floats, GalleryVectors, TextVectors
from .scoring import Scorer

_GROWTH = 1.5


@dataclass(frozen=True)
class Source:
    """A gallery in this machine's memory: all videos, and, where they are kept so, their int8 steps."""

    gallery: GalleryVectors
    steps: StepVectors | None = None

    def __len__(self) -> int:
        return len(self.gallery)


@dataclass(frozen=True)
class Best:
    """Scores float32 and the gallery's rows int64 [Q, m], best first, -1 where there is none; and how many were scored
    in float16 for each query."""

    scores: Floats
    rows: Rows
    scored: int


class Resident(ABC):
    """The rows of ``share`` on ``device``, as they were when ``follow`` was last called."""

    columns: tuple[Column, ...]

    def __init__(self, device: Device, shape: HeadShape, share: Share, room: Callable[[], int] | None = None) -> None:
        """``room`` tells how many bytes of the device are free."""
        self.device, self.shape, self.share = device, shape, share
        self._room = room or (lambda: device.free)
        self.scratch = Scratch(device)
        self.scorer = Scorer(device, shape, self.scratch)
        self._rows, self._capacity = 0, 0

    def __len__(self) -> int:
        """Rows on the device."""
        return self._rows

    def prepare(self) -> None:
        """Compile what searches need."""
        self.device.use()
        self.scorer.prepare()

    def follow(self, source: Source, *, anew: bool) -> None:
        """Send the share's rows behind those that were sent; all of them if ``anew``.

        Raises:
            NoRoom: they don't fit on the device. What was there is given up.
        """
        self.device.use()
        if anew:
            self._rows = 0
        count = self.share.count(len(source))
        if count > self._capacity:
            self._make_room(count)
        if count > self._rows:
            for own, part in self.share.runs(self._rows, len(source)):
                self.send(own, source, part)
        self._rows = count

    def give_up(self) -> None:
        """Forget all rows, and give their memory back."""
        self.device.use()
        for column in self.columns:
            column.give_up()
        self.scratch.clear()
        self._rows = self._capacity = 0

    @abstractmethod
    def send(self, own: int, source: Source, part: slice) -> None:
        """Send some rows of a gallery, which begin a block, to where the share has them."""

    @abstractmethod
    def search_bytes(self, rows: int) -> int:
        """Bytes that a search of so many rows takes beside them."""

    @abstractmethod
    def search(self, text: TextVectors, source: Source, n: int, live: Live | None) -> Best:
        """The ``n`` best of the share's rows, or of the ``live`` ones, bool [V]."""

    def live(self, live: Live | None) -> Live:
        """Which of the share's rows count, bool [rows]."""
        if live is None:
            return np.ones(self._rows, np.bool_)
        # The rows of the only device are the gallery's.
        return live[: self._rows] if self.share.devices == 1 else live[self.share.rows(np.arange(self._rows))]

    def _make_room(self, count: int) -> None:
        """Arrays for the rows and half as many again, or for these alone, while those of before are copied."""
        wanted = [int(self._capacity * _GROWTH), count]
        for rows in wanted if wanted[0] > count else wanted[1:]:
            needed = sum(column.bytes(rows) for column in self.columns) + self.search_bytes(rows)
            if needed <= self._room():
                for column in self.columns:
                    column.grow(rows, self._rows)
                self._capacity = rows
                return
        room = self._room()
        self.give_up()
        raise NoRoom(count, needed, room)


class Float16(Resident):
    """Frame vectors in float16, and Gram tables."""

    def __init__(self, device: Device, shape: HeadShape, share: Share, room: Callable[[], int] | None = None) -> None:
        super().__init__(device, shape, share, room)
        self._frames = Column(device, (shape.streams, shape.frames, shape.width), np.float16)
        self._tables = Column(device, (shape.rows,), np.float32, LANES)
        self.columns = (self._frames, self._tables)

    def send(self, own: int, source: Source, part: slice) -> None:
        """As ``Resident.send``."""
        self._frames.put(own, source.gallery.frames[part])
        self._tables.put(own, source.gallery.tables[part.start // LANES : blocks(part.stop)])

    def search_bytes(self, rows: int) -> int:
        """As ``Resident.search_bytes``."""
        return search_bytes(rows)

    def search(self, text: TextVectors, source: Source, n: int, live: Live | None) -> Best:
        """As ``Resident.search``."""
        self.device.use()
        asked = self.scorer.ask(text)
        queries = asked.queries
        alive = self.scratch.sent("live", self.live(live).view(np.uint8))
        step = max(GROUP, SCORES_AT_ONCE // queries // GROUP * GROUP)
        found = []
        for start in range(0, self._rows, step):
            count = min(step, self._rows - start)
            where = (self._frames.at(start), self._tables.at(start), alive.at(start))
            scores, largest = self.scorer.score(asked, *where, count)
            best, rows = self.scorer.best(scores, largest, queries, count, n)
            found.append((best, np.where(rows < 0, -1, self.share.rows(rows + start))))
        return Best(*best_of(found, queries, n), self._rows)
