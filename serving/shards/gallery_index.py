"""Video records into a gallery in shards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...export.bundle.errors import FramesiftError
from ...export.bundle.packing import unpack_row
from ...export.bundle.ports import COUNT, ID, VERSION
from ..backends.base import Arrays, Backend
from ..gallery.shard import part_of
from .fleet import Answers
from .keeping import Keepers, part_of_answer, written
from .messages import INDEX, Message

# The rows of a request by the shard that keeps them.
_Parts = Mapping[int, Sequence[int]]


class GalleryIndex(Backend):
    """Reads and writes what ``backends.gallery_index.GalleryIndex`` does; each shard commits its own rows.

    What comes in one batch has no order over all shards: its requests were there at the same time. A request fails
    where one of its rows' shards does not answer; what the others committed meanwhile is kept. The segments of a film
    go to the shard of its id, where they wait for the last one.
    """

    _keepers: Keepers

    def setup(self, config: dict[str, Any], folder: Path) -> None:
        """Find the shards."""
        self._keepers = Keepers()

    def run(self, inputs: Sequence[Mapping[str, np.ndarray[Any, Any]]]) -> list[Arrays | FramesiftError]:
        """All requests in one commit of each shard that keeps one of their rows."""
        lost = self._keepers.hear()
        divided = [self._divided(request, lost) for request in inputs]
        parts: dict[int, list[tuple[int, Sequence[int]]]] = {}
        for place, each in enumerate(divided):
            for shard, rows in each.items() if not isinstance(each, FramesiftError) else ():
                parts.setdefault(shard, []).append((place, rows))
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

    def _divided(
        self, request: Mapping[str, np.ndarray[Any, Any]], lost: Mapping[int, FramesiftError]
    ) -> _Parts | FramesiftError:
        """The rows of a request by their shards, if none of these is lost."""
        parts: dict[int, list[int]] = {}
        try:
            for row in range(len(request[ID])):
                parts.setdefault(part_of(unpack_row(request[ID][row], ID), self._keepers.fleet.count), []).append(row)
        except FramesiftError as error:
            return error
        return next((lost[shard] for shard in parts if shard in lost), parts)

    def _answer(
        self,
        parts: _Parts,
        answers: Answers,
        place: int,
        places: Mapping[int, Sequence[int]],
        request: Mapping[str, np.ndarray[Any, Any]],
    ) -> Arrays | FramesiftError:
        rows = len(request[ID])
        versions, counts = np.empty((rows, 1), np.int64), np.full((rows, 1), self._keepers.count, np.int64)
        try:
            for shard, own in parts.items():
                part = part_of_answer(answers, shard, places[shard].index(place))
                versions[own] = part[VERSION]
                if not written(part):
                    counts[own] = part[COUNT]
        except FramesiftError as error:
            return error
        return {VERSION: versions, COUNT: counts}
