"""Video records into the gallery."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...export.bundle.errors import FramesiftError
from ...export.bundle.models import SHORTLIST_VARIABLE
from ...export.bundle.packing import unpack_row
from ...export.bundle.ports import (
    COUNT,
    DIGEST,
    DURATION,
    ID,
    METADATA,
    PART,
    SOURCE,
    SPAN,
    TIMESTAMPS,
    VERSION,
)
from ...export.bundle.segments import WHOLE, Segment
from ...export.bundle.shortlist import PREFIX, chooser_in
from ...export.bundle.store import read_manifest
from ...export.bundle.video.part import Part
from ..gallery.drafts import Drafts, Pair
from ..gallery.environment import gallery_from_env
from ..gallery.rows import GalleryEntry
from ..gallery.schema import GallerySchema
from ..gallery.store import Commit, Gallery
from .base import Arrays, Backend


class GalleryIndex(Backend):
    """Reads records, float32 [B, ...] per tensor, with their facts; writes ``version`` and ``count`` int64 [B, 1].

    A video that came as features has no ``timestamps`` and no ``duration``. Where another gallery chooses candidates,
    requests hold the records of both, and both are written before a request is answered, the main one last: what it has
    can be chosen. ``version`` and ``count`` are the main gallery's.

    Of a segment of a film, with ``part`` and ``span`` as ``VideoDecoder`` has them, nothing is written before the
    film's last one: till then ``version`` is 0, and ``count`` the number of its segments that are here.

    Once a request is answered its videos survive the death of every process.
    """

    gallery: Gallery
    drafts: Drafts
    chooser: Gallery | None = None

    def setup(self, config: dict[str, Any], folder: Path) -> None:
        """Open the galleries, or make them."""
        manifest, chooser = read_manifest(folder), chooser_in(folder)
        self.gallery, self.drafts = gallery_from_env(manifest), Drafts()
        if chooser is not None:
            self.chooser = gallery_from_env(chooser, SHORTLIST_VARIABLE)

    def run(self, inputs: Sequence[Mapping[str, np.ndarray[Any, Any]]]) -> list[Arrays | FramesiftError]:
        """All requests in one commit of each gallery, but for those that can't be kept."""
        read = [self._read(request) for request in inputs]
        rows = [row for found in read if isinstance(found, list) for row in found]
        if not rows:
            return [_told(found, None) for found in read]
        try:
            if self.chooser is not None:
                self.chooser.write([other for _, other in rows if other is not None])
            commit = self.gallery.write([row for row, _ in rows])
        except FramesiftError as error:
            return [error if isinstance(found, list) else _told(found, None) for found in read]
        return [_told(found, commit) for found in read]

    def finalize(self) -> None:
        """Let the galleries' compaction end."""
        self.gallery.close()
        if self.chooser is not None:
            self.chooser.close()

    def _read(self, request: Mapping[str, np.ndarray[Any, Any]]) -> list[Pair] | int | FramesiftError:
        """A request's rows of the main gallery, each with that of the gallery that chooses, if there is one.

        Of a segment all of its film's once the last one is there; before, how many are.
        """
        other = self.chooser
        try:
            pairs: list[Pair] = [
                (
                    self.gallery.row(entry_of(request, place, self.gallery.schema)),
                    None if other is None else other.row(entry_of(request, place, other.schema, PREFIX)),
                )
                for place in range(len(request[ID]))
            ]
            if PART not in request:
                return pairs
            return self.drafts.add(_part(request).draft, pairs[0])
        except FramesiftError as error:
            return error


def _told(found: list[Pair] | int | FramesiftError, commit: Commit | None) -> Arrays | FramesiftError:
    if isinstance(found, FramesiftError):
        return found
    if isinstance(found, int) or commit is None:
        return _waiting(found if isinstance(found, int) else len(found))
    # A film has come with its last segment alone.
    rows = 1 if found[0][0].entry.segment.total > 1 else len(found)
    return {
        VERSION: np.full((rows, 1), commit.version, np.int64),
        COUNT: np.full((rows, 1), commit.count, np.int64),
    }


def _waiting(count: int) -> Arrays:
    return {VERSION: np.zeros((1, 1), np.int64), COUNT: np.full((1, 1), count, np.int64)}


def entry_of(
    request: Mapping[str, np.ndarray[Any, Any]], place: int, schema: GallerySchema, prefix: str = ""
) -> GalleryEntry:
    """A row of a request as a gallery of this schema takes it, whose tensors have that prefix.

    Raises:
        InvalidRequest: a text that is not UTF-8.
    """
    times, duration = request.get(prefix + TIMESTAMPS), request.get(prefix + DURATION)
    return GalleryEntry(
        id=unpack_row(request[ID][place], ID),
        tensors={spec.name: request[prefix + spec.name][place] for spec in schema.record},
        timestamps=np.zeros(1, np.float32) if times is None else times[place],
        duration=0.0 if duration is None else float(duration[place, 0]),
        digest=request[DIGEST][place].tobytes(),
        source=unpack_row(request[SOURCE][place], SOURCE),
        metadata=unpack_row(request[METADATA][place], METADATA),
        segment=WHOLE if SPAN not in request else _segment(request[SPAN][place]),
        cutting=None if PART not in request else _part(request).cutting,
    )


def _part(request: Mapping[str, np.ndarray[Any, Any]]) -> Part:
    return Part.parse(unpack_row(request[PART][0], PART))


def _segment(span: npt.NDArray[np.float64]) -> Segment:
    number, count, start, end = span.tolist()
    return Segment(int(number), int(count), start, end)
