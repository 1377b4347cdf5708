"""Films that are cut into segments, and those of them that are larger than one request may be."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from uuid import uuid4

from ...export.bundle.cut_request import CutRequest
from ...export.bundle.errors import InvalidRequest, InvalidVideo
from ...export.bundle.ports import FEATURES, VIDEO
from ...export.bundle.segments import Cutting
from ...export.bundle.video.limits import DEFAULT_LIMITS, VideoLimits
from ...export.bundle.video.part import Part
from .digests import digest_of
from .uploads import Brought, Item, Upload, path_of, read_brought

# A piece of a film: large enough that few are sent, small enough to be held beside others.
PIECE_BYTES = 64 << 20
# Whoever goes on after the last piece gets all of them again: the server has forgotten some.
_TRIES = 2


@dataclass(frozen=True)
class FilmFile:
    """A file to be sent: a film, or a piece of the film with ``film_digest``; ``cut`` says which segments it has."""

    brought: Brought
    cut: CutRequest
    film_digest: bytes | None = None

    @property
    def reached(self) -> tuple[int, int] | None:
        """How many of the film's segments there are with this file's last one, and of how many, where that is known."""
        last = self.cut.parts[-1].segment if self.cut.parts else None
        return None if last is None else (last.number + 1, last.total)


def files_of(item: Item, cutting: Cutting, largest: int) -> Iterator[FilmFile]:
    """A film as it is sent: in one file, or in pieces where it has more than ``largest`` bytes.

    Raises:
        InvalidRequest: a large one that is in memory, or has a feature file.
        InvalidVideo: it can't be read, or not be cut.
    """
    if item.video is None or _size(item) <= largest:
        brought = read_brought(item.video, item.features, largest)
        parts: Sequence[Part] = ()
        if cutting.shots and brought.video is not None:
            parts = _reader().parts(brought.video.data, cutting, uuid4().hex)
        yield FilmFile(brought, CutRequest(cutting, parts))
        return
    if isinstance(item.video, bytes):
        raise InvalidRequest(f"a film of more than {largest} bytes is cut from its file: give its path")
    if item.features is not None:
        raise InvalidRequest("a feature file is of a whole film, so the film can't be cut: leave one of them out")
    path = path_of(item.video, "video")
    digest = digest_of(path)
    for _ in range(_TRIES):
        yield from pieces_of(path, digest, cutting, largest)


def pieces_of(
    path: Path, digest: bytes, cutting: Cutting, largest: int, limits: VideoLimits | None = None
) -> Iterator[FilmFile]:
    """A film, whose SHA-256 is ``digest``, in files of at most ``largest`` bytes, with its segments in their order.

    Its shots are found, and it is taken apart, in processes that no file can harm.

    Args:
        limits: for these processes; None for a film of one's own, whose shots are found for as long as it takes.

    Raises:
        InvalidVideo: it can't be read, or not be cut, or takes more than the limits.
    """
    cuts = _reader().shots(path, cutting, limits).starts if cutting.shots else ()
    within = DEFAULT_LIMITS if limits is None else limits
    for piece in _reader().pieces(path, cutting, uuid4().hex, min(PIECE_BYTES, largest), cuts, within):
        upload = Upload(piece.data, path.name, os.path.abspath(path))
        yield FilmFile(Brought(upload, None), CutRequest(cutting, piece.parts), digest)


def check_cut(takes: Collection[str], brought: Collection[str]) -> None:
    """Refuse to cut what is no film alone.

    Args:
        takes: names of the tensors that the model reads of a video.
        brought: those that there are.

    Raises:
        InvalidRequest: features are of a whole video.
    """
    if VIDEO not in takes or VIDEO not in brought:
        raise InvalidRequest("segments are of films, and this model reads feature files: leave the segments out")
    if FEATURES in brought and FEATURES in takes:
        raise InvalidRequest("a feature file is of a whole film, so the film can't be cut: leave one of them out")


def _reader() -> ModuleType:
    """What reads films, which needs PyAV.

    Raises:
        InvalidVideo: it is not installed.
    """
    # The processes that it starts read them, and this one doesn't.
    if find_spec("av") is None:
        raise InvalidVideo(
            "films beyond the server's limit, and those that are cut where shots begin, are read here, and what reads "
            "them is not installed: pip install 'framesift[segments]' (no module named 'av')"
        )
    from ...export.bundle.video import cutting

    return cutting


def _size(item: Item) -> int:
    if isinstance(item.video, bytes):
        return len(item.video)
    assert item.video is not None
    try:
        return path_of(item.video, "video").stat().st_size
    # Whoever reads it says what is wrong.
    except OSError:
        return 0
