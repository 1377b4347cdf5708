"""One shard: the bodies of one server's models over its own gallery."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ...export.bundle.errors import FramesiftError, ServerUnavailable
from ...export.bundle.models import EMBEDDED_VARIABLE, GALLERY_VARIABLE
from ...export.bundle.ports import VERSION
from ..backends.gallery_index import GalleryIndex
from ..backends.gallery_lookup import GalleryLookup
from ..search.device import DeviceRanker
from ..search.device_scan import DeviceScanRanker
from .clock import Clock
from .messages import CHOOSE, INDEX, LOOKUP, SEARCH, Arrays, Message, Part
from .shard_search import ShardSearch

# In a message's head: a version that some shard has, and whether this replica writes, or others do. In an answer's: the
# newest version of the shard, the one that was searched, the one up to which that has everything, and how many videos.
HEARD, WRITES = "heard", "writes"
LATEST, VIEW, SEEN, VIDEOS = "latest", "view", "seen", "videos"


class Shard:
    """Answers messages, as many at once as come: each kind has its turn.

    Args:
        folder: with the bundle's manifest and its scorer's graph.
        gallery: the shard's gallery, which must be there.
        gpu: not None to search on all visible GPUs, where the scorer can.
    """

    def __init__(self, folder: Path, gallery: Path, gpu: int | None = None) -> None:
        # A process has one shard.
        os.environ.update({GALLERY_VARIABLE: str(gallery), EMBEDDED_VARIABLE: "1"})
        self._clock, self._leads = Clock(), False
        self._search, self._index, self._lookup = ShardSearch(), GalleryIndex(), GalleryLookup()
        self._search.gpu = gpu
        self._bodies = (self._index, self._lookup, self._search)
        for body in self._bodies:
            body.setup({}, folder)
        self._turns = {kind: threading.Lock() for kind in (SEARCH, INDEX, LOOKUP)}
        # Both stages of a search have one body.
        self._turns[CHOOSE] = self._turns[SEARCH]

    @property
    def on_gpu(self) -> bool:
        """Whether it searches on a GPU."""
        return isinstance(self._search.ranker, DeviceRanker | DeviceScanRanker)

    def answer(self, kind: str, message: Message, waits: Callable[[], bool]) -> Message:
        """The answers to a message's requests, in their order.

        Args:
            waits: whether somebody still waits for them, once it is their turn.

        Raises:
            FramesiftError: none can be answered.
        """
        requests = [part for part in message.parts if not isinstance(part, FramesiftError)]
        self._clock.hear(int(message.head.get(HEARD, 0)))
        self._lead(bool(message.head.get(WRITES, True)))
        with self.turn(kind):
            if not waits():
                raise ServerUnavailable("nobody waits for the answer any more")
            keeps = kind in (INDEX, LOOKUP)
            answers, told = (self._kept(kind, requests), {}) if keeps else self._searched(kind, requests)
        return Message(answers, {**told, LATEST: self._clock.latest(self._search.snapshot.view.version)})

    def turn(self, kind: str) -> threading.Lock:
        """What the messages of a kind wait for, one after another."""
        return self._turns[kind]

    def close(self) -> None:
        """Stop following the gallery, and let its compaction end."""
        for body in self._bodies:
            body.finalize()

    def _lead(self, writes: bool) -> None:
        """Promise nothing of later versions where others write; who begins to write learns first what they wrote."""
        if writes and not self._leads:
            self._clock.wrote(self._lookup.gallery.version)
        self._leads = writes

    def _searched(self, kind: str, requests: Sequence[Arrays]) -> tuple[list[Part], dict[str, Any]]:
        # Before the search: it may see more, and never less.
        view = self._search.snapshot.view
        seen = self._clock.seen(view.version) if self._leads else view.version
        told = {VIEW: view.version, SEEN: seen, VIDEOS: view.videos}
        answers = self._search.choose(requests) if kind == CHOOSE else self._search.run(requests)
        return [*answers], told

    def _kept(self, kind: str, requests: Sequence[Arrays]) -> list[Part]:
        with self._clock.writing() as least:
            body = self._index if kind == INDEX else self._lookup
            body.gallery.least = least
            answers: list[Part] = [*body.run(requests)]
            found = [part for part in answers if not isinstance(part, FramesiftError)]
            versions = [int(part[VERSION].max()) for part in found]
            self._clock.wrote(max(versions, default=0))
        return answers
