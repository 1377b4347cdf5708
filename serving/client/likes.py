"""What a search is made with in the place of a text: the id of a video, a file, or a picture in memory."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...export.bundle.checks import check_id
from ...export.bundle.errors import InvalidRequest
from ...export.bundle.limits import MAX_SIDE_SENT
from .uploads import Brought, Features, Like, Video, is_feature_file, path_of

_HEAD, _CRC = struct.Struct(">I4s"), struct.Struct(">I")


def read_id(like: Like) -> str | None:
    """The id, where it is one of the gallery's.

    Raises:
        InvalidRequest: an id that breaks the rules.
    """
    return check_id(like) if isinstance(like, str) else None


def sent(like: Like) -> tuple[Video | None, Features | None]:
    """The film or picture, or the features, that ``like`` is.

    Raises:
        InvalidRequest, InvalidVideo: none of what a search can be made with.
    """
    if isinstance(like, Mapping):
        return None, like
    if isinstance(like, os.PathLike):
        like = path_of(like, "video")
    if isinstance(like, bytes | Path):
        return (None, like) if is_feature_file(like) else (like, None)
    return png(_pixels(like)), None


def shown(like: Like, brought: Brought | None) -> str:
    """What a result calls it."""
    return like if isinstance(like, str) else "" if brought is None else brought.named.id


def png(pixels: npt.NDArray[np.uint8]) -> bytes:
    """A picture, RGB uint8 [H, W, 3], as a PNG file (RFC 2083), which loses nothing."""
    height, width, _ = pixels.shape
    rows = np.concatenate([np.zeros((height, 1), np.uint8), pixels.reshape(height, 3 * width)], 1)
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = ((b"IHDR", head), (b"IDAT", zlib.compress(rows.tobytes(), 1)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        _HEAD.pack(len(data), kind) + data + _CRC.pack(zlib.crc32(kind + data)) for kind, data in parts
    )


def _pixels(image: Any) -> npt.NDArray[np.uint8]:
    try:
        # Pillow's images, of whatever mode.
        found = np.asarray(image.convert("RGB") if hasattr(image, "convert") else image)
    # Whatever an object's own way into numpy raises.
    except Exception as error:
        raise InvalidRequest(f"{type(image).__name__} can't be read as a picture: {str(error)[:200]}") from error
    if found.dtype != np.uint8 or found.ndim != 3 or found.shape[2] != 3 or 0 in found.shape:
        raise InvalidRequest(
            f"a search is made with an id (a text), a path (pathlib.Path), a file's bytes, or a picture of RGB, uint8 "
            f"[H, W, 3], not with {type(image).__name__} of {found.dtype} {list(found.shape)}"
        )
    if max(found.shape) > MAX_SIDE_SENT:
        raise InvalidRequest(f"the picture is {found.shape[1]}x{found.shape[0]}, the limit is {MAX_SIDE_SENT} a side")
    return np.ascontiguousarray(found)
