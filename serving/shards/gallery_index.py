"""Video records into a gallery in shards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...export.bundle.errors import FramesiftError, InvalidRequest
from ...export.bundle.packing import unpack_row
from ...export.bundle.ports import COUNT, ID, SPAN, VERSION
from ..backends.base import Arrays, Backend
from ..gallery.shard import part_of
from .fleet import Answers
from .keeping import Keepers, part_of_answer
from .messages import INDEX, Message

# The rows of a request by the shard that keeps them.
_Parts = Mapping[int, Sequence[int]]

_SEGMENT = InvalidRequest(
    "a gallery in shards keeps no films in segments: index them whole, or serve the gallery on one machine"
)


class GalleryIndex(Backend):
    """Reads and writes what ``backends.gallery_index.GalleryIndex`` does; each shard commits its own rows.

    What comes in one batch has no order over all shards: its requests were there at the same time. A request of several
    rows whose shards don't all answer fails, and what the others committed is kept.
    """

    _keepers: Keepers

    def setup(self, config: dict[str, Any], folder: Path) -> None:
        """Find the shards."""
        self._keepers = Keepers()

    def run(self, inputs: Sequence[Mapping[str, np.ndarray[Any, Any]]]) -> list[Arrays | FramesiftError]:
        """All requests in one commit of each shard that keeps one of their rows."""
        divided = [_SEGMENT if SPAN in request else self._divided(request) for request in inputs]
        parts: dict[int, list[tuple[int, Sequence[int]]]] = {}
        for place, each in enumerate(divided):
            for shard, rows in each.items() if not isinstance(each, FramesiftError) else ():
                parts.setdefault(shard, []).append((place, rows))
        try:
            self._keepers.hear([*parts])
        except FramesiftError as error:
            return [each if isinstance(each, FramesiftError) else error for each in divided]
        messages = {
            shard: Message([{name: array[rows] for name, array in inputs[place].items()} for place, rows in own])
            for shard, own in parts.items()
        }
        answers = self._keepers.fleet.ask(INDEX, messages)
        self._keepers.note(answers)
        places = {shard: [place for place, _ in own] for shard, own in parts.items()}
        return [
            each if isinstance(each, FramesiftError) else self._answer(each, answers, place, places, inputs[place])
            for place, each in enumerate(divided)
        ]

    def finalize(self) -> None:
        """Let go of the shards."""
        self._keepers.fleet.close()

    def _divided(self, request: Mapping[str, np.ndarray[Any, Any]]) -> _Parts | FramesiftError:
        parts: dict[int, list[int]] = {}
        try:
            for row in range(len(request[ID])):
                parts.setdefault(part_of(unpack_row(request[ID][row], ID), self._keepers.fleet.count), []).append(row)
        except FramesiftError as error:
            return error
        return parts

    def _answer(
        self,
        parts: _Parts,
        answers: Answers,
        place: int,
        places: Mapping[int, Sequence[int]],
        request: Mapping[str, np.ndarray[Any, Any]],
    ) -> Arrays | FramesiftError:
        rows = len(request[ID])
        versions = np.empty((rows, 1), np.int64)
        try:
            for shard, own in parts.items():
                versions[own] = part_of_answer(answers, shard, places[shard].index(place))[VERSION]
        except FramesiftError as error:
            return error
        return {VERSION: versions, COUNT: np.full((rows, 1), self._keepers.count, np.int64)}
