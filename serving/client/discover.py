"""Which video files a command line names, and the ids they get."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ...export.bundle.checks import check_id
from ...export.bundle.errors import InvalidRequest

VIDEO_SUFFIXES = (".mp4", ".m4v", ".mkv", ".mov", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".flv", ".wmv")

IdFrom = Literal["path", "name", "stem"]


@dataclass(frozen=True)
class NamedVideo:
    """A file to be indexed and its id."""

    path: Path
    id: str


def discover(names: Sequence[str], id_from: IdFrom = "path") -> list[NamedVideo]:
    """The files that ``names`` stand for, each once, in order.

    A name is a file of any kind, a folder (all its video files, at any depth), or a glob (``**`` for any depth). The id
    from ``path`` is the path below a folder that was named, and the path as given for a file or a glob.

    Raises:
        InvalidRequest: a name that stands for nothing, a file whose name can't be an id, or two files with
        one id.
    """
    files: dict[str, NamedVideo] = {}
    for name in names:
        paths = _paths(name)
        if not paths:
            what = f"no video ({', '.join(VIDEO_SUFFIXES)}) in it" if Path(name).is_dir() else "no such file or folder"
            raise InvalidRequest(f"{name}: {what}")
        for path in paths:
            file = NamedVideo(path, check_id(_id(path, name, id_from)))
            other = files.setdefault(file.id, file)
            if other is not file and not _same(other.path, path):
                raise InvalidRequest(
                    f"{other.path} and {path} would both get the id {file.id!r}: "
                    "choose another --id-from, or name a folder above both"
                )
    return list(files.values())


def _same(one: Path, other: Path) -> bool:
    return one.resolve() == other.resolve()


def _paths(name: str) -> list[Path]:
    path = Path(name)
    if path.is_dir():
        return _videos(path)
    if path.exists():
        return [path]
    matches = map(Path, sorted(glob.glob(name, recursive=True)))
    # "**" matches a folder and also what is in it.
    return [match for match in matches if match.is_file() and match.suffix.lower() in VIDEO_SUFFIXES]


def _videos(folder: Path) -> list[Path]:
    files = (Path(root) / name for root, _, names in os.walk(folder) for name in names)
    return sorted(file for file in files if file.suffix.lower() in VIDEO_SUFFIXES)


def _id(path: Path, name: str, id_from: IdFrom) -> str:
    if id_from == "name":
        return path.name
    if id_from == "stem":
        return path.stem
    below = path.relative_to(name) if Path(name).is_dir() else Path(os.path.normpath(path))
    return below.as_posix()
