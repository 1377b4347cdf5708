"""Manifests: files that list videos, a JSON object a line."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from ...export.bundle.checks import DIGEST_BYTES, check_id, check_source, dump_metadata
from ...export.bundle.errors import InvalidRequest
from ..client.discover import IdFrom, id_of
from ..client.metadata_lines import decoded
from .fetch import check_place, is_address, public
from .video import Made, Video

# Beside "reason", with which a list of what failed is a manifest too.
_NAMES = frozenset({"path", "id", "features", "metadata", "sha256", "reason"})


@dataclass(frozen=True)
class Listed:
    """The videos that a manifest lists, and those that can't be indexed as they are called there, each with why."""

    videos: list[Video]
    refused: list[Made]


def read_manifest_lines(path: Path, id_from: IdFrom = "path") -> Listed:
    """The videos that a manifest lists.

    A line has a ``path``, a path (below the manifest's folder if it is relative) or an address, and may have an ``id``,
    the path of a feature file beside a film (``features``), ``metadata``, and the file's SHA-256 in hexadecimal
    (``sha256``). Without an id a video is called by its path as it stands there, without a slash in front; by that
    below host or bucket where it is an address. An id or a path that can't be is refused alone: so it is in a list of
    what failed, of a folder with such names.

    Raises:
        InvalidRequest: the file can't be read; a line that is no such object, which is named; an id that comes twice.
    """
    found: dict[str, tuple[Video, int]] = {}
    refused: list[Made] = []
    folder = "" if path.parent == Path() else str(path.parent)
    for number, line in _lines(path):
        try:
            video = _video(json.loads(line), folder, id_from)
        except (ValueError, RecursionError) as error:
            raise InvalidRequest(f"{path}, line {number}: {error}") from error
        if reason := _refusal(video):
            refused.append(Made(video, reason=reason))
            continue
        _, first = found.setdefault(video.id, (video, number))
        if first != number:
            raise InvalidRequest(f"{path}, lines {first} and {number} have the id {video.id!r}: give each its own")
    if not found and not refused:
        raise InvalidRequest(f"{path} lists no videos")
    return Listed([video for video, _ in found.values()], refused)


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
    path = place if is_address(place) else os.path.abspath(os.path.join(folder, place))
    id_ = line["id"] if "id" in line else id_of(below.lstrip("/"), id_from)
    if not isinstance(id_, str):
        raise InvalidRequest(f"the id is {type(id_).__name__}, it must be a text")
    return Video(
        id_,
        path,
        public(path),
        None if beside is None else os.path.abspath(os.path.join(folder, beside)),
        dump_metadata(line["metadata"]) if "metadata" in line else "{}",
        _digest(line["sha256"]) if "sha256" in line else None,
    )


def _refusal(video: Video) -> str:
    """Why a video can't be indexed as it is called; empty if it can."""
    try:
        check_id(video.id)
        check_source(video.source)
    except InvalidRequest as error:
        return str(error)
    return ""


def _digest(text: object) -> bytes:
    digest = bytes.fromhex(text) if isinstance(text, str) else b""
    if len(digest) != DIGEST_BYTES:
        raise InvalidRequest("sha256 must be the 64 digits of a SHA-256")
    return digest
