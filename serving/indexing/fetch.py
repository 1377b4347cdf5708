"""Reading what a video's place names: files of this machine, and what fsspec reads over the network."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import urlsplit

from ...export.bundle.errors import InvalidFeatures, InvalidInput, InvalidRequest, InvalidVideo
from ..client.uploads import Brought, Upload, is_feature_file, read_brought

# What an operator keeps films in. fsspec knows more, of which some run or unpack what they are given.
SCHEMES = ("http", "https", "s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "hdfs", "webhdfs", "oss", "hf")
_TRIES, _PAUSE_S = 3, 1.0
_PIECE = 1 << 20


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


def read(place: str, beside: str | None, largest: int, timeout_s: float) -> Brought:
    """The film, the feature file, or both, that lie at ``place`` and, beside a film, at ``beside``.

    Args:
        largest: the most bytes of a film.
        timeout_s: for one file that comes over the network; what fails otherwise is tried again.

    Raises:
        InvalidVideo, InvalidFeatures: there is none, or it is empty, too large, or can't be read.
    """
    if not is_address(place):
        return read_brought(None, place) if is_feature_file(place) else read_brought(place, beside, largest)
    fault = InvalidFeatures if is_feature_file(urlsplit(place).path) else InvalidVideo
    for attempt in range(1, _TRIES + 1):
        try:
            upload = _upload(place, largest, time.monotonic() + timeout_s)
            return Brought(None, upload) if fault is InvalidFeatures else Brought(upload, None)
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


def _upload(address: str, largest: int, until: float) -> Upload:
    import fsspec

    scheme = address.partition("://")[0]
    # In one request, where fsspec would ask for a large file piece by piece: it might change in between.
    options: dict[str, Any] = {"block_size": 0} if scheme in ("http", "https") else {}
    found = bytearray()
    with fsspec.open(address, "rb", **options) as file:
        while piece := file.read(_PIECE):
            found += piece
            if len(found) > largest:
                raise InvalidVideo(
                    f"the file has more than {largest} bytes, which is the limit: make it smaller, or raise the limit: "
                    "--video-limit bytes=..."
                )
            if time.monotonic() > until:
                raise TimeoutError("it came too slowly: give it more time with --timeout")
    if not found:
        raise InvalidVideo("the file is empty")
    return Upload(bytes(found), "", "")
