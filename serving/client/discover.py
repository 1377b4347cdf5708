"""Which files of videos a command line names, and the ids they get."""

from __future__ import annotations

import glob
import itertools
import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Literal

from ...export.bundle.checks import FEATURE_SUFFIXES, TAG_SUFFIX, check_id
from ...export.bundle.errors import InvalidRequest
from .printable import printable

VIDEO_SUFFIXES = (
    *(".mp4", ".m4v", ".mov", ".qt", ".3gp", ".3g2", ".f4v", ".mkv", ".webm", ".ogv", ".avi", ".flv", ".wmv", ".asf"),
    *(".mpg", ".mpeg", ".vob", ".ts", ".mts", ".m2ts"),
)
# Still images, which are videos of one frame: in a folder of films they are mostly their covers.
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
# A file that lists videos, which a run without a server reads.
MANIFEST_SUFFIX = ".jsonl"
# Folders that are no user's: previews and bins of macOS' archives, of network storages, and of Windows.
MACHINES_FOLDERS = ("__MACOSX", "@eaDir", "@Recycle", "#recycle", "$RECYCLE.BIN", "System Volume Information")

IdFrom = Literal["path", "name", "stem"]

_MACHINES = frozenset(name.casefold() for name in MACHINES_FOLDERS)


@dataclass(frozen=True)
class NamedVideo:
    """A file to be indexed and its id; ``features`` is the file beside a film, for a model that reads both."""

    path: Path
    id: str
    features: Path | None = None


@dataclass(frozen=True)
class Refused:
    """A file or folder that can't be indexed as it is, and why; ``id`` is what a file would be called."""

    path: Path
    reason: str
    id: str = ""


@dataclass(frozen=True)
class Found:
    """What the names on a command line stand for, each once, in order, and how many images they hold beside that."""

    videos: list[NamedVideo]
    refused: list[Refused]
    images: int = 0

    def __len__(self) -> int:
        return len(self.videos) + len(self.refused)


@dataclass(frozen=True)
class Named:
    """What the names on a command line stand for, for a model that reads films and for one that reads features.

    In the place of what they stand for is the reason why they stand for nothing.
    """

    films: Found | InvalidRequest
    features: Found | InvalidRequest

    @staticmethod
    def of(names: Sequence[str], id_from: IdFrom, *, images: bool = False) -> Named:
        """Look for both, for films with ``images`` among them.

        Raises:
            InvalidRequest: the names stand for neither.
        """
        films = _tried(names, id_from, (*VIDEO_SUFFIXES, *(IMAGE_SUFFIXES if images else ())))
        features = _tried(names, id_from, FEATURE_SUFFIXES)
        if isinstance(films, InvalidRequest) and isinstance(features, InvalidRequest):
            raise films
        return Named(films, features)

    @property
    def either(self) -> Found:
        """The films, or what stands in their place, while the model is not known."""
        found = self.features if isinstance(self.films, InvalidRequest) else self.films
        assert isinstance(found, Found)
        return found

    def read_by(self, *, films: bool, features: bool) -> Found:
        """The files that a model reads which takes films, features, or both: films with what lies beside them.

        Raises:
            InvalidRequest: there are none.
        """
        found = self.films if films else self.features
        if isinstance(found, InvalidRequest):
            raise found
        if not (films and features):
            return found
        videos = [replace(file, features=features_beside(file.path)) for file in found.videos]
        return replace(found, videos=videos)


def is_manifest(name: str) -> bool:
    """Whether a name on a command line is that of a manifest."""
    return name.endswith(MANIFEST_SUFFIX) and not os.path.isdir(name)


def features_beside(film: Path) -> Path | None:
    """The feature file of a film's name, if one lies beside it."""
    beside = (film.with_suffix(suffix) for suffix in (*FEATURE_SUFFIXES, TAG_SUFFIX))
    return next((path for path in beside if path.is_file()), None)


def _tried(names: Sequence[str], id_from: IdFrom, suffixes: Sequence[str]) -> Found | InvalidRequest:
    try:
        return discover(names, id_from, suffixes)
    except InvalidRequest as error:
        return error


def discover(names: Sequence[str], id_from: IdFrom = "path", suffixes: Sequence[str] = VIDEO_SUFFIXES) -> Found:
    """The files that ``names`` stand for.

    A name is a file of any kind, a folder (all its files that end in one of ``suffixes``, at any depth; links to
    folders are not followed), or a glob (``**`` for any depth; one that ends in the suffix of an image finds these,
    too). What is hidden below it is left out: names that begin with a dot, and ``MACHINES_FOLDERS``.

    The id from ``path`` is the path below the folder that was named; a file is called by its name, and what a glob
    finds by the path below the glob's last folder without a wildcard. So it is the same whatever the current folder is.
    The suffix of a feature file is no part of its path, so that it has the id that the film has by its ``stem``.

    Raises:
        InvalidRequest: a name that stands for nothing, or two files with one id.
    """
    files: dict[str, NamedVideo] = {}
    refused: dict[Path, Refused] = {}
    left: set[str] = set()
    films = _are_films(suffixes)
    for name in names:
        paths, unread = _named(name, frozenset(suffixes), left)
        refused.update((found.path, found) for found in unread)
        if not paths and not unread:
            kind = "video" if films else "feature file"
            absent = f"no {kind} fits" if glob.has_magic(name) else "no such file or folder"
            what = f"no {kind} in it" if os.path.isdir(name) else absent
            images = "; --images takes images, too" if films and IMAGE_SUFFIXES[0] not in suffixes else ""
            raise InvalidRequest(f"{printable(name)}: {what}; {kind}s end in {', '.join(suffixes)}{images}")
        for path, below in paths:
            id_ = id_of(below, id_from)
            try:
                file = NamedVideo(Path(path), check_id(id_))
            except InvalidRequest as error:
                refused[Path(path)] = Refused(Path(path), str(error), id_)
                continue
            other = files.setdefault(file.id, file)
            if other is not file and not _same(other.path, file.path):
                raise InvalidRequest(
                    f"{printable(other.path)} and {printable(path)} would both get the id {file.id!r}: "
                    "name a folder above both, with --id-from path"
                )
    return Found(list(files.values()), list(refused.values()), len(left) if films else 0)


def _same(one: Path, other: Path) -> bool:
    return one.resolve() == other.resolve()


def _named(name: str, suffixes: Collection[str], left: set[str]) -> tuple[list[tuple[str, str]], list[Refused]]:
    """The files that a name stands for, each with its path below what was named; and folders that can't be read.

    Images that were not looked for go to ``left``.
    """
    if os.path.isdir(name):
        unread: list[Refused] = []
        return list(_files(name, suffixes, unread, left)), unread
    if os.path.lexists(name):
        return [(name, os.path.basename(name))], []
    parts = PurePath(name).parts
    fixed = PurePath(*itertools.takewhile(lambda part: not glob.has_magic(part), parts))
    matches = sorted(glob.glob(name, recursive=True))
    # "**" matches a folder and also what is in it. What is hidden may be named, but is not found by a wildcard.
    shown = [path for path in matches if not any(map(_hidden, set(PurePath(path).parts) - set(parts)))]
    taken = {*suffixes, *(IMAGE_SUFFIXES if _are_films(suffixes) and _ends(name, IMAGE_SUFFIXES) else ())}
    found = [path for path in shown if _ends(path, taken) and os.path.isfile(path)]
    left.update(os.path.abspath(path) for path in shown if _ends(path, IMAGE_SUFFIXES) and not _ends(path, taken))
    return [(path, PurePath(path).relative_to(fixed).as_posix()) for path in found], []


def _files(folder: str, suffixes: Collection[str], unread: list[Refused], left: set[str]) -> Iterator[tuple[str, str]]:
    def keep(error: OSError) -> None:
        unread.append(Refused(Path(error.filename), f"the folder can't be read: {error.strerror}"))

    for root, folders, names in os.walk(folder, onerror=keep):
        folders[:] = sorted(name for name in folders if not _hidden(name))
        below = root[len(folder) :].strip("/")
        for name in sorted(names):
            if _hidden(name):
                continue
            if _ends(name, suffixes):
                yield f"{root.rstrip('/')}/{name}", f"{below}/{name}" if below else name
            elif _ends(name, IMAGE_SUFFIXES):
                left.add(os.path.abspath(os.path.join(root, name)))


def _are_films(suffixes: Collection[str]) -> bool:
    return VIDEO_SUFFIXES[0] in suffixes


def _hidden(name: str) -> bool:
    return name.startswith(".") or name.casefold() in _MACHINES


def _ends(path: str, suffixes: Collection[str]) -> bool:
    return os.path.splitext(path)[1].lower() in suffixes


def id_of(below: str, id_from: IdFrom) -> str:
    """The id of a file that lies so far below what was named."""
    if id_from == "path":
        return os.path.splitext(below)[0] if _ends(below, FEATURE_SUFFIXES) else below
    name = os.path.basename(below)
    return name if id_from == "name" else os.path.splitext(name)[0]
