"""Indexing many videos: workers make rows of them, and whoever runs this commits the rows."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from queue import Empty, SimpleQueue
from typing import Protocol

from ...export.bundle.limits import MAX_IDS
from ..gallery.store import Gallery
from .video import Made, Video

# A group of rows is committed when it has so many rows or bytes, or when its first row has waited so long.
_ROWS, _BYTES, _AGE_S = 4096, 64 << 20, 2.0

Told = Callable[[Made], object]


class Workers(Protocol):
    """What makes rows of videos, several at once.

    Attributes:
        slots: how many videos to have under way.
    """

    slots: int

    def submit(self, video: Video) -> Future[Made]:
        """Have a video made."""

    def close(self) -> None:
        """End the workers; what is under way is dropped."""


def index_videos(gallery: Gallery, videos: Iterable[Video], workers: Workers, told: Told) -> None:
    """Index videos, with at most ``workers.slots`` of them under way.

    Every group of rows is one commit, which holds the gallery's lease while it is made. So other writers of this
    machine have their turn between two, and a run that ends in the middle has lost the last group at most.

    Args:
        told: called with each video once it is in the gallery, refused, or known to be there; what it raises ends the
            run.

    Raises:
        GalleryError: the gallery can't be written.
        FramesiftError: what ended a worker for good.
    """
    group = _Group(gallery, told)
    left = iter(videos)
    under_way, done = 0, SimpleQueue[Future[Made]]()
    try:
        while True:
            for video in itertools.islice(left, workers.slots - under_way):
                workers.submit(video).add_done_callback(done.put)
                under_way += 1
            if not under_way:
                break
            with suppress(Empty):
                group.take(done.get(timeout=group.patience()).result())
                under_way -= 1
            group.keep_if_due()
    finally:
        # Of a run that is stopped, what is made is kept.
        group.keep()
    gallery.index()


def with_known(gallery: Gallery, videos: Iterable[Video]) -> Iterator[Video]:
    """The videos, each with what the gallery has under its id."""
    for part in _parts(videos):
        known = gallery.lookup([video.id for video in part]).digests
        # Of what stays as it is, and of what is cut, nobody asks how it was.
        other = [video for video in part if video.cutting is None and known.get(video.id) not in (None, video.digest)]
        before = gallery.reader().cuttings([video.id for video in other])
        for video in part:
            yield replace(video, known=known.get(video.id), before=before.get(video.id, ""))


class _Group:
    """Rows that wait for their commit."""

    def __init__(self, gallery: Gallery, told: Told) -> None:
        self._gallery, self._told = gallery, told
        self._held: list[Made] = []
        self._rows = self._bytes = 0
        self._since = 0.0

    def take(self, made: Made) -> None:
        if not made.rows:
            self._told(made)
            return
        if not self._held:
            self._since = time.monotonic()
        self._held.append(made)
        self._rows += len(made.rows)
        self._bytes += sum(tensor.nbytes for row in made.rows for tensor in row.tensors.values())

    def patience(self) -> float | None:
        """Seconds until the rows have to be committed; None where there are none."""
        return max(0.0, self._since + _AGE_S - time.monotonic()) if self._held else None

    def keep_if_due(self) -> None:
        if self._rows >= _ROWS or self._bytes >= _BYTES or self.patience() == 0:
            self.keep()

    def keep(self) -> None:
        held, self._held, self._rows, self._bytes = self._held, [], 0, 0
        if not held:
            return
        self._gallery.write([row for made in held for row in made.rows])
        for made in held:
            self._told(made)


def _parts(videos: Iterable[Video]) -> Iterator[list[Video]]:
    left = iter(videos)
    while part := list(itertools.islice(left, MAX_IDS)):
        yield part
