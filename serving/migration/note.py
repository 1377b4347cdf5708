"""The note in a gallery's folder that says of which other gallery it is made."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from ...export.bundle.errors import GalleryError
from ..gallery.store import Gallery
from .states import last_number

_FILE = ".migration"


@dataclass(frozen=True)
class Note:
    """What is noted.

    Attributes:
        old: the folder of the gallery whose videos are made again.
        whole: whether all of them were; then ``count`` and ``last`` are the videos and the largest row's number that
            there were, by which it is seen whether somebody has written since.
    """

    old: str
    whole: bool = False
    count: int = 0
    last: int = -1

    def write(self, root: Path) -> None:
        """Put it into a gallery's folder in place of an earlier one."""
        scratch = root / f"{_FILE}-{os.getpid()}"
        scratch.write_text(json.dumps(asdict(self)), encoding="utf-8")
        os.replace(scratch, root / _FILE)


def begin(old: Gallery, new: Gallery) -> None:
    """Note that ``new`` is being made of ``old``.

    From then on whatever ``new`` has and ``old`` has not is removed from it, so it has to be empty, or left by an
    earlier run.

    Raises:
        GalleryError: it is another gallery's, or a gallery of its own by now.
    """
    root = os.path.realpath(old.root)
    note = _read(new.root)
    if note is None:
        if new.count:
            raise GalleryError(f"{new.root} holds {new.count} videos that no migration has made: name a new folder")
    elif note.old != root:
        raise GalleryError(f"{new.root} is being made of {note.old} and not of {root}: name a new folder")
    elif note.whole and (new.count, last_number(new)) != (note.count, note.last):
        raise GalleryError(
            f"{new.root} was made of {root} and has been written to since, so it is a gallery of its own and is left "
            "as it is"
        )
    Note(root).write(new.root)


def end(old: Gallery, new: Gallery) -> None:
    """Note that ``new`` has all of ``old``, or that an alias is moved to it with what it has."""
    Note(os.path.realpath(old.root), True, new.count, last_number(new)).write(new.root)


def _read(root: Path) -> Note | None:
    try:
        told = json.loads((root / _FILE).read_text(encoding="utf-8"))
        return Note(str(told["old"]), bool(told["whole"]), int(told["count"]), int(told["last"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise GalleryError(f"{root / _FILE} can't be read ({error}): name a new folder") from error
