"""Manifests: files that list videos, a JSON object a line."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from ...export.bundle.checks import DIGEST_BYTES, check_id, check_source, dump_metadata
from ...export.bundle.errors import InvalidRequest
from ..client.discover import IdFrom, id_of
from ..client.metadata_lines import decoded
from .fetch import check_place, is_address, public
from .video import Video

SUFFIX = ".jsonl"
# Beside "reason", with which a list of what failed is a manifest too.
_NAMES = frozenset({"path", "id", "features", "metadata", "sha256", "reason"})


def is_manifest(name: str) -> bool:
    """Whether a name on a command line is that of a manifest."""
    return name.endswith(SUFFIX) and not os.path.isdir(name)


def read_manifest_lines(path: Path, id_from: IdFrom = "path") -> list[Video]:
    """The videos that a manifest lists.

    A line has a ``path``, a path (below the manifest's folder if it is relative) or an address, and may have an ``id``,
    the path of a feature file beside a film (``features``), ``metadata``, and the file's SHA-256 in hexadecimal
    (``sha256``). Without an id a video is called by its path as it stands there, without a slash in front; by that
    below host or bucket where it is an address.

    Raises:
        InvalidRequest: the file can't be read; a line that is no such object, which is named; an id that comes twice.
    """
    found: dict[str, tuple[Video, int]] = {}
    folder = "" if path.parent == Path() else str(path.parent)
    for number, line in _lines(path):
        try:
            video = _video(json.loads(line), folder, id_from)
        except (ValueError, RecursionError) as error:
            raise InvalidRequest(f"{path}, line {number}: {error}") from error
        _, first = found.setdefault(video.id, (video, number))
        if first != number:
            raise InvalidRequest(f"{path}, lines {first} and {number} have the id {video.id!r}: give each its own")
    if not found:
        raise InvalidRequest(f"{path} lists no videos")
    return [video for video, _ in found.values()]


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        with path.open("rb") as file:
            for number, line in enumerate(decoded(file, "manifest's"), start=1):
                if line.strip():
                    yield number, line
    except OSError as error:
        raise InvalidRequest(f"{path} can't be read: {error.strerror}") from error


def _video(line: Any, folder: str, id_from: IdFrom) -> Video:
    if not isinstance(line, dict) or not isinstance(line.get("path"), str):
        raise InvalidRequest('it is no JSON object with a "path"')
    if unknown := sorted(line.keys() - _NAMES):
        raise InvalidRequest(f"{unknown[0]!r} is unknown, known: {', '.join(sorted(_NAMES))}")
    place, beside = check_place(line["path"]), line.get("features")
    if beside is not None and (not isinstance(beside, str) or is_address(place) or is_address(beside)):
        raise InvalidRequest("features is the path of a file beside a film, both on this machine")
    below = unquote(urlsplit(place).path) if is_address(place) else place
    return Video(
        check_id(line["id"] if "id" in line else id_of(below.lstrip("/"), id_from)),
        place if is_address(place) else os.path.abspath(os.path.join(folder, place)),
        check_source(public(place) if is_address(place) else os.path.join(folder, place)),
        None if beside is None else os.path.abspath(os.path.join(folder, beside)),
        dump_metadata(line["metadata"]) if "metadata" in line else "{}",
        _digest(line["sha256"]) if "sha256" in line else None,
    )


def _digest(text: object) -> bytes:
    digest = bytes.fromhex(text) if isinstance(text, str) else b""
    if len(digest) != DIGEST_BYTES:
        raise InvalidRequest("sha256 must be the 64 digits of a SHA-256")
    return digest
