"""A gallery in shards: a folder with a gallery for each, and a note that says how many there are."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from ...export.bundle.errors import GalleryError, GalleryMismatch
from .addresses import local_folder
from .failures import gallery_failures
from .lock import exclusive
from .numbering import become, shard_of
from .schema import GallerySchema
from .shard import MAX_SHARDS, NOTE, Shard
from .store import LOCK, LOCK_WAIT_S, Gallery
from .table import create_table, has_table, index_ids, open_table

_FORMAT = 1


@dataclass(frozen=True)
class Note:
    """What the folder's note says.

    Attributes:
        shards: how many there are.
        versions: of every shard when it was split or made: one that is still at it was not written since.
    """

    shards: int
    versions: Sequence[int]
    format: int = _FORMAT


def is_split(path: str | os.PathLike[str]) -> bool:
    """Whether a folder holds a gallery in shards."""
    return (local_folder(path) / NOTE).is_file()


def shard_folders(path: str | os.PathLike[str]) -> list[Path]:
    """The folders of all shards, in their order.

    Raises:
        GalleryError: there is no gallery in shards, or one of another format.
    """
    return [shard_folder(local_folder(path), number) for number in range(read_note(path).shards)]


def shard_folder(root: Path, number: int) -> Path:
    """The folder of one shard."""
    return root / f"shard-{number}"


def read_note(path: str | os.PathLike[str]) -> Note:
    """What the folder's note says.

    Raises:
        GalleryError: there is none, or one of another format.
    """
    root = local_folder(path)
    if not (root / NOTE).is_file():
        raise GalleryError(f"there is no gallery in shards in {root}: `framesift gallery split` makes one of a gallery")
    try:
        told = json.loads((root / NOTE).read_text(encoding="utf-8"))
        if told["format"] != _FORMAT:
            raise GalleryError(f"{root / NOTE} has format {told['format']}, this framesift reads {_FORMAT}")
        return Note(check_count(told["shards"]), [int(version) for version in told["versions"]])
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise GalleryError(f"{root / NOTE} can't be read: {error!r:.200}") from error


def write_note(root: Path, shards: Sequence[Gallery]) -> None:
    """Say that the shards in a folder are whole."""
    told = Note(len(shards), [shard.version for shard in shards])
    part = root / f".{NOTE}-{os.getpid()}"
    try:
        part.write_text(json.dumps(asdict(told)) + "\n", encoding="utf-8")
        part.rename(root / NOTE)
    except OSError as error:
        raise GalleryError(f"{root / NOTE} can't be written: {error}") from error


def check_count(count: object) -> int:
    """A number of shards.

    Raises:
        GalleryError: no whole number, or outside 1..``MAX_SHARDS``.
    """
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= MAX_SHARDS:
        raise GalleryError(f"a gallery has 1 to {MAX_SHARDS} shards, not {count!r:.50}")
    return count


def shards_of(path: str | os.PathLike[str]) -> list[Gallery]:
    """All shards, in their order.

    Raises:
        GalleryError: there are none, one is missing, or one lies in another's folder.
        GalleryMismatch: they hold records of different models.
    """
    found = [Gallery.existing(folder) for folder in shard_folders(path)]
    for number, shard in enumerate(found):
        check_shard(shard, Shard(number, len(found)))
        if shard.schema != found[0].schema:
            raise GalleryMismatch(f"{shard.root} holds records of another model than {found[0].root}")
    return found


def open_shards(path: str | os.PathLike[str], wanted: GallerySchema, count: int | None = None) -> list[Gallery]:
    """The shards of a model's gallery; empty ones where there are none yet and ``count`` says how many to make.

    Raises:
        GalleryMismatch: they hold another model's records.
        GalleryError: there are none, or another number of them.
    """
    root = local_folder(path)
    if count is not None and not is_split(root):
        if has_table(root):
            raise GalleryError(f"{root} holds a gallery that is not in shards: split it with `framesift gallery split`")
        check_count(count)
        with gallery_failures(f"making {root}"):
            root.mkdir(parents=True, exist_ok=True)
            # Whoever wants it made at the same time waits, and finds it.
            with exclusive(root / LOCK, LOCK_WAIT_S):
                if not is_split(root):
                    write_note(root, [made_shard(root, wanted, Shard(number, count)) for number in range(count)])
    note = read_note(root)
    if count not in (None, note.shards):
        raise GalleryError(
            f"the gallery in {root} has {note.shards} shards, not {count}: `framesift gallery split` makes another "
            "number of them, in a new folder"
        )
    found = shards_of(root)
    if (schema := found[0].schema) != wanted:
        raise GalleryMismatch(
            f"the gallery in {root} was written by the model {schema.fingerprint} ({schema.system}), this model is "
            f"{wanted.fingerprint} ({wanted.system}), and their records don't compare"
        )
    return found


def check_shard(gallery: Gallery, wanted: Shard) -> None:
    """Refuse what lies in a shard's folder and is none, or another one.

    Raises:
        GalleryError: the message says which it is.
    """
    if (marked := shard_of(gallery.reader().table)) != wanted:
        raise GalleryError(f"{gallery.root} is {marked or 'a whole gallery'}, not shard {wanted} of one")


def made_shard(root: Path, schema: GallerySchema, shard: Shard) -> Gallery:
    """One shard's gallery, made where it is not there.

    Raises:
        GalleryError: what is there is no such shard.
        GalleryMismatch: it holds another model's records.
    """
    folder = shard_folder(root, shard.number)
    with gallery_failures(f"making {folder}"):
        folder.mkdir(parents=True, exist_ok=True)
        with exclusive(folder / LOCK, LOCK_WAIT_S):
            if not has_table(folder):
                create_table(folder, schema.arrow())
            table = open_table(folder)
            if shard_of(table) is None and not table.count_rows():
                index_ids(table)
                become(table, shard)
            if shard_of(table) != shard:
                raise GalleryError(f"{folder} is {shard_of(table) or 'a whole gallery'}, not shard {shard} of one")
    return Gallery.made(folder, schema)
