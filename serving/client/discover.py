"""Which video files a command line names, and the ids they get."""

from __future__ import annotations

import glob
import itertools
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Literal

from ...export.bundle.checks import check_id
from ...export.bundle.errors import InvalidRequest
from .printable import printable

VIDEO_SUFFIXES = (
    *(".mp4", ".m4v", ".mov", ".qt", ".3gp", ".3g2", ".f4v", ".mkv", ".webm", ".ogv", ".avi", ".flv", ".wmv", ".asf"),
    *(".mpg", ".mpeg", ".vob", ".ts", ".mts", ".m2ts"),
)
# Folders that are no user's: previews and bins of macOS' archives, of network storages, and of Windows.
MACHINES_FOLDERS = ("__MACOSX", "@eaDir", "@Recycle", "#recycle", "$RECYCLE.BIN", "System Volume Information")

IdFrom = Literal["path", "name", "stem"]

_SUFFIXES = frozenset(VIDEO_SUFFIXES)
_MACHINES = frozenset(name.casefold() for name in MACHINES_FOLDERS)


@dataclass(frozen=True)
class NamedVideo:
    """A file to be indexed and its id."""

    path: Path
    id: str


@dataclass(frozen=True)
class Refused:
    """A file or folder that can't be indexed as it is, and why."""

    path: Path
    reason: str


@dataclass(frozen=True)
class Found:
    """What the names on a command line stand for, each once, in order."""

    videos: list[NamedVideo]
    refused: list[Refused]


def discover(names: Sequence[str], id_from: IdFrom = "path") -> Found:
    """The files that ``names`` stand for.

    A name is a file of any kind, a folder (all its video files, at any depth; links to folders are not followed), or a
    glob (``**`` for any depth). What is hidden below it is left out: names that begin with a dot, and
    ``MACHINES_FOLDERS``.

    The id from ``path`` is the path below the folder that was named; a file is called by its name, and what a glob
    finds by the path below the glob's last folder without a wildcard. So it is the same whatever the current folder is.

    Raises:
        InvalidRequest: a name that stands for nothing, or two files with one id.
    """
    files: dict[str, NamedVideo] = {}
    refused: dict[Path, Refused] = {}
    for name in names:
        paths, unread = _named(name)
        refused.update((found.path, found) for found in unread)
        if not paths and not unread:
            what = "no video in it" if os.path.isdir(name) else "no such file or folder"
            raise InvalidRequest(f"{printable(name)}: {what}; videos end in {', '.join(VIDEO_SUFFIXES)}")
        for path, below in paths:
            try:
                file = NamedVideo(Path(path), check_id(_id(below, id_from)))
            except InvalidRequest as error:
                refused[Path(path)] = Refused(Path(path), str(error))
                continue
            other = files.setdefault(file.id, file)
            if other is not file and not _same(other.path, file.path):
                raise InvalidRequest(
                    f"{printable(other.path)} and {printable(path)} would both get the id {file.id!r}: "
                    "name a folder above both, with --id-from path"
                )
    return Found(list(files.values()), list(refused.values()))


def _same(one: Path, other: Path) -> bool:
    return one.resolve() == other.resolve()


def _named(name: str) -> tuple[list[tuple[str, str]], list[Refused]]:
    """The files that a name stands for, each with its path below what was named; and folders that can't be read."""
    if os.path.isdir(name):
        unread: list[Refused] = []
        return list(_videos(name, unread)), unread
    if os.path.lexists(name):
        return [(name, os.path.basename(name))], []
    parts = PurePath(name).parts
    fixed = PurePath(*itertools.takewhile(lambda part: not glob.has_magic(part), parts))
    matches = sorted(glob.glob(name, recursive=True))
    # "**" matches a folder and also what is in it. What is hidden may be named, but is not found by a wildcard.
    found = [path for path in matches if _is_video(path) and os.path.isfile(path)]
    seen = (path for path in found if not any(map(_hidden, set(PurePath(path).parts) - set(parts))))
    return [(path, PurePath(path).relative_to(fixed).as_posix()) for path in seen], []


def _videos(folder: str, unread: list[Refused]) -> Iterator[tuple[str, str]]:
    def keep(error: OSError) -> None:
        unread.append(Refused(Path(error.filename), f"the folder can't be read: {error.strerror}"))

    for root, folders, names in os.walk(folder, onerror=keep):
        folders[:] = sorted(name for name in folders if not _hidden(name))
        below = root[len(folder) :].strip("/")
        for name in sorted(names):
            if _is_video(name) and not _hidden(name):
                yield f"{root.rstrip('/')}/{name}", f"{below}/{name}" if below else name


def _hidden(name: str) -> bool:
    return name.startswith(".") or name.casefold() in _MACHINES


def _is_video(path: str) -> bool:
    return os.path.splitext(path)[1].lower() in _SUFFIXES


def _id(below: str, id_from: IdFrom) -> str:
    if id_from == "path":
        return below
    name = os.path.basename(below)
    return name if id_from == "name" else os.path.splitext(name)[0]
