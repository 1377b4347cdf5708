"""What passes between a sandbox and the process that decodes."""

from __future__ import annotations

import math
import os
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from ..cut_request import CutRequest
from ..errors import InvalidRequest, InvalidVideo
from ..limits import MAX_CLIP_BYTES, MAX_SEGMENT_BYTES
from ..manifest import FrameProfile
from ..segments import Segment
from .file_piece import FilePiece
from .profile import FEWER, UNCUT
from .source import readable

Content = bytes | memoryview | npt.NDArray[np.uint8] | Path
"""A video file's content, or its path."""

# Bytes of both ends of a film that are compared with those of the one that is open.
_ENDS = 1 << 16


def layout(
    profile: FrameProfile, told: Sequence[int]
) -> tuple[npt.NDArray[Any], npt.NDArray[np.float64], npt.NDArray[np.float32]]:
    """Room for a clip's frames, times and mask, in the order in which they are passed on.

    Args:
        told: the frames' shape by the process, which a video may have taken over.
    """
    sizes = [size for size in told if type(size) is int and size > 0]
    fits = len(sizes) == len(told) == 4 and math.prod(sizes) <= MAX_CLIP_BYTES
    if fits:
        count, *picture = sizes
        fits = count <= profile.count if profile.missing == FEWER else count == profile.count
        whole = profile.crop == UNCUT and picture[0] == 3 and min(picture[1:]) == profile.size
        fits &= whole or picture == [3, profile.size, profile.size]
    if not fits:
        raise InvalidVideo(f"the decoder's pictures have the shape {told!s:.60}: the video is damaged, leave it out")
    return np.empty(sizes, profile.dtype), np.empty(count, np.float64), np.empty(count, np.float32)


@contextmanager
def shared(source: Content) -> Iterator[BinaryIO]:
    """A video as a file that another process can read: the file itself, or its content in memory."""
    if isinstance(source, Path):
        with readable(source) as file:
            yield file
        return
    with open(os.memfd_create("framesift-video"), "wb", buffering=0) as file:
        content = np.frombuffer(source, np.uint8).data
        while content:
            content = content[file.write(content) :]
        yield file


def likeness(source: Content) -> tuple[int, ...]:
    """What tells a file from others under the same draft, which is whatever a stranger calls it."""
    if isinstance(source, Path):
        with readable(source) as file:
            found = os.fstat(file.fileno())
        return found.st_size, found.st_mtime_ns, found.st_ino
    content = np.frombuffer(source, np.uint8).data
    return len(content), zlib.crc32(content[:_ENDS]), zlib.crc32(content[-_ENDS:])


def piece_of(result: int, size: Any, told: Any, most: int, before: Segment | None) -> FilePiece:
    """A film's file of its segments behind the segment ``before``, or of its first ones.

    Args:
        result: the file in which it lies, and its segments behind it.
        size, told: bytes of both by the process, which a video may have taken over.
        most: bytes that it may have.

    Raises:
        InvalidVideo: it is none.
    """
    first = 0 if before is None else before.number + 1
    fault = f"the film's piece from segment {first} on is none: the film is damaged, leave it out"
    if not (type(size) is type(told) is int and 0 < size <= most and 0 < told <= MAX_SEGMENT_BYTES):
        raise InvalidVideo(fault)
    data, text = os.pread(result, size, 0), os.pread(result, told, size)
    try:
        parts = CutRequest.parse(text).parts
    except InvalidRequest as error:
        raise InvalidVideo(fault) from error
    found = [part.segment[:2] for part in parts if part.segment is not None]
    total = before.total if before is not None else found[0][1] if found else 0
    follow = [(first + place, total) for place in range(len(parts))]
    if len(data) < size or not parts or found != follow or first + len(parts) > total:
        raise InvalidVideo(fault)
    return FilePiece(data, parts)
