"""Reading what a video's place names: files of this machine, and what fsspec reads over the network."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit

from ...export.bundle.errors import InvalidFeatures, InvalidInput, InvalidRequest, InvalidVideo
from ..client.digests import digest_of
from ..client.uploads import Brought, Upload, is_feature_file, read_brought
from .on_disk import MOST_BYTES, written
from .video import Video

# What an operator keeps films in. fsspec knows more, of which some run or unpack what they are given.
SCHEMES = ("http", "https", "s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "hdfs", "webhdfs", "oss", "hf")
_TRIES, _PAUSE_S = 3, 1.0
_PIECE = 1 << 20
# Seconds in which nothing comes.
_SILENCE_S = 60.0


@dataclass(frozen=True)
class LargeFilm:
    """A film that has too many bytes to be held in memory, and is cut from its file."""

    path: Path
    digest: bytes


def is_address(place: str) -> bool:
    """Whether a place is an address, and not a path."""
    return "://" in place


def public(place: str) -> str:
    """A place without what may be a key to it: a user's name and password, and what stands behind a question mark."""
    if not is_address(place):
        return place
    parts = urlsplit(place)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def check_place(place: str) -> str:
    """The place itself.

    Raises:
        InvalidRequest: an address that is not read, or for which a package is missing.
    """
    if not is_address(place):
        return place
    scheme = place.partition("://")[0]
    if scheme not in SCHEMES or "::" in place:
        raise InvalidRequest(f"{place!a:.200} can't be read: give a path, or an address of {', '.join(SCHEMES)}")
    import fsspec

    try:
        fsspec.get_filesystem_class(scheme)
    except ImportError as error:
        raise InvalidRequest(f"addresses of {scheme} can't be read here: {error}") from error
    return place


@contextmanager
def opened(
    video: Video, largest: int, timeout_s: float, most_on_disk: int = MOST_BYTES
) -> Iterator[Brought | LargeFilm]:
    """The film of a video, its feature file, or both; a large one that is cut lies in a file while the block runs.

    Args:
        largest: the most bytes of a film that is held in memory.
        timeout_s: for a file that comes over the network, or each ``largest`` bytes of a larger one; what fails
            otherwise is tried again.
        most_on_disk: the most bytes of a film that comes over the network.

    Raises:
        InvalidVideo, InvalidFeatures: there is none, or it is empty, too large, or can't be read.
    """
    place, beside, cut = video.place, video.beside, video.cutting is not None and video.beside is None
    if is_address(place):
        with ExitStack() as stack:
            yield _fetched(place, largest, timeout_s, most_on_disk if cut else 0, stack)
    elif is_feature_file(place):
        yield read_brought(None, place)
    elif cut and _size(place) > largest:
        yield LargeFilm(Path(place), digest_of(Path(place)))
    else:
        yield read_brought(place, beside, largest)


def _size(place: str) -> int:
    try:
        return os.stat(place).st_size
    # Whoever reads it says what is wrong.
    except (OSError, ValueError):
        return 0


def _fetched(address: str, largest: int, timeout_s: float, on_disk: int, stack: ExitStack) -> Brought | LargeFilm:
    features = is_feature_file(urlsplit(address).path)
    fault = InvalidFeatures if features else InvalidVideo
    for attempt in range(1, _TRIES + 1):
        try:
            found = _once(address, largest, timeout_s, 0 if features else on_disk, stack)
            if isinstance(found, LargeFilm):
                return found
            return Brought(None, found) if features else Brought(found, None)
        except (FileNotFoundError, PermissionError) as error:
            raise fault(f"there is no such file, or it may not be read: {type(error).__name__}") from error
        except InvalidInput:
            raise
        # Every kind of storage has failures of its own, and of most a second try helps.
        except Exception as error:
            if attempt == _TRIES:
                told = " ".join(str(error).split())
                raise fault(f"it can't be read: {type(error).__name__}: {told:.200}") from error
            time.sleep(_PAUSE_S * attempt)
    raise AssertionError("a try returns or raises")


def _once(address: str, largest: int, timeout_s: float, on_disk: int, stack: ExitStack) -> Upload | LargeFilm:
    import fsspec

    found = bytearray()
    with fsspec.open(address, "rb", **_options(address, timeout_s)) as file:
        pieces = _pieces(file, largest, timeout_s)
        for piece in pieces:
            found += piece
            if len(found) > largest:
                if not on_disk:
                    raise InvalidVideo(
                        f"the file has more than {largest} bytes, which is the limit: cut it with --segment-seconds, "
                        "make it smaller, or raise the limit: --video-limit bytes=..."
                    )
                path, digest = stack.enter_context(written(found, pieces, on_disk))
                return LargeFilm(path, digest)
    if not found:
        raise InvalidVideo("the file is empty")
    return Upload(bytes(found), "", "")


def _pieces(file: BinaryIO, largest: int, timeout_s: float) -> Iterator[bytes]:
    """What comes, as long as it comes fast enough."""
    until, size = time.monotonic() + timeout_s, 0
    while piece := file.read(_PIECE):
        size += len(piece)
        if time.monotonic() > until + size // largest * timeout_s:
            raise TimeoutError("it came too slowly: give it more time with --timeout")
        yield piece


def _options(address: str, timeout_s: float) -> dict[str, Any]:
    if address.partition("://")[0] not in ("http", "https"):
        return {}
    import aiohttp

    # In one request, where fsspec would ask for a large file piece by piece: it might change in between. Without a
    # time for all of it, which aiohttp has of its own.
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=timeout_s, sock_read=min(timeout_s, _SILENCE_S))
    return {"block_size": 0, "client_kwargs": {"timeout": timeout}}
