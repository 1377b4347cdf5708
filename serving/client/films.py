"""Films that are cut into segments, and those of them that are larger than one request may be."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from types import ModuleType
from uuid import uuid4

from ...export.bundle.cut_request import CutRequest
from ...export.bundle.errors import InvalidRequest, InvalidVideo
from ...export.bundle.ports import FEATURES, VIDEO
from ...export.bundle.segments import Cutting
from ...export.bundle.video.part import Part
from .uploads import Brought, Cuts, Item, Upload, digest_of, path_of, read_brought

# A piece of a film: large enough that few are sent, small enough to be held beside others.
_PIECE_BYTES = 64 << 20
# Whoever goes on after the last piece gets all of them again: the server has forgotten some.
_TRIES = 2


@dataclass(frozen=True)
class FilmFile:
    """A file to be sent: a film, or a piece of the film with ``film_digest``; ``cut`` says which segments it has."""

    brought: Brought
    cut: CutRequest
    film_digest: bytes | None = None


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
    cuts = _reader().shots(path, cutting).starts if cutting.shots else ()
    for _ in range(_TRIES):
        for piece in _reader().pieces(path, cutting, uuid4().hex, min(_PIECE_BYTES, largest), cuts):
            upload = Upload(piece.data, path.name, os.fspath(path))
            yield FilmFile(Brought(upload, None), CutRequest(cutting, piece.parts), digest)


def read_cutting(segments: Cuts | None) -> Cutting | None:
    """How films are cut, as a caller gave it.

    Raises:
        InvalidRequest: neither a number of seconds nor a ``Cutting``, or one that can't be.
    """
    if segments is None:
        return None
    if isinstance(segments, Cutting):
        return segments
    if isinstance(segments, bool) or not isinstance(segments, int | float):
        raise InvalidRequest(f"segments is {type(segments).__name__}: give their seconds, or a Cutting")
    return Cutting(segments)


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
    try:
        from ...export.bundle.video import cutting
    except ImportError as error:
        raise InvalidVideo(
            "films beyond the server's limit, and those that are cut where shots begin, are read here, and what reads "
            f"them is not installed: pip install 'framesift[segments]' ({error})"
        ) from error
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
