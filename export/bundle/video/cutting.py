"""What whoever sends a film does with it first: its shots are found, and it is cut into pieces.

Both are done in processes that no file can harm.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from ..errors import ServerUnavailable
from ..segments import Cutting
from .decoder_process import DecoderProcess, ProcessGone
from .file_piece import FilePiece
from .limits import DEFAULT_LIMITS, VideoLimits
from .part import Part
from .sandbox import Sandbox
from .shots_found import Shots, parts_of
from .source import readable
from .work import SLOW_SHARE

# Whoever sends a film of its own has it decoded: a day is what nobody waits for.
_PATIENT = VideoLimits(max_bytes=1 << 62, max_seconds=1e9, max_packets=1 << 40, max_work=86_400)
# Bytes a second of processor time at which the packets of any film are read and copied, were they a kilobyte each.
_SLOWEST = 2 << 20
# Bytes of a packet, on average.
_LEAST = 256
# So many times the film's bytes its packets may have: some containers leave out what all of them begin with.
_TIMES = 2


def shots(source: bytes | Path, cutting: Cutting, limits: VideoLimits | None = None) -> Shots:
    """Where the shots of a film begin.

    Args:
        limits: as of ``pieces``; None for a film of one's own, which is decoded for as long as it takes.

    Raises:
        InvalidVideo: it can't be read, or takes too much memory or time.
    """
    within = _PATIENT if limits is None else _by_size(limits, _size(source))
    with Sandbox(within) as sandbox:
        return sandbox.shots(source, cutting.shots)


def parts(source: bytes | Path, cutting: Cutting, draft: str) -> list[Part]:
    """The segments of a film that begin with its shots.

    Raises:
        InvalidVideo: it can't be read, or has too many.
    """
    return parts_of(cutting, shots(source, cutting), draft)


def pieces(
    path: Path,
    cutting: Cutting,
    draft: str,
    most: int,
    cuts: Sequence[float] = (),
    limits: VideoLimits = DEFAULT_LIMITS,
) -> Iterator[FilePiece]:
    """The segments of a film in files of at most ``most`` bytes, as ``pieces.pieces`` makes them.

    Args:
        draft, cuts: as of ``pieces.pieces``.
        limits: of memory, streams and the size of frames; and of work, to which the time of the film's length is added.

    Raises:
        InvalidVideo: the film can't be read, can't be cut so, or takes too much memory or time, or it crashed its
            process.
        ServerUnavailable: the machine is too busy, or ends the process.
        ServerStartError: the process doesn't start.
    """
    with closing(DecoderProcess(_by_size(limits, _size(path)))) as process:
        try:
            yield from process.pieces(path, cutting, draft, most, cuts)
        except ProcessGone as error:
            raise ServerUnavailable("this machine ends the decoder: try again later") from error


def _size(source: bytes | Path) -> int:
    if isinstance(source, bytes):
        return len(source)
    with readable(source) as file:
        return file.seek(0, 2)


def _by_size(limits: VideoLimits, size: int) -> VideoLimits:
    """The limits for all of a film of so many bytes, however many these are."""
    return replace(
        limits,
        max_bytes=_TIMES * max(size, 1),
        max_seconds=1e9,
        max_packets=max(limits.max_packets, size // _LEAST),
        max_work=limits.max_work + SLOW_SHARE * size / _SLOWEST,
    )
