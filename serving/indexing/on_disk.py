"""Films that come over the network and are too large for memory: they lie on the disk while they are cut."""

from __future__ import annotations

import errno
import hashlib
import itertools
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ...export.bundle.errors import InvalidVideo
from ...export.bundle.scratch import scratch_folder

# Of one film.
MOST_BYTES = 32 << 30
# What is left to everybody else on the disk, and how often that is looked at.
_SPARE_BYTES, _LOOK_BYTES = 1 << 30, 64 << 20
_PREFIX = "framesift-film-"
_FULL = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def written(begun: bytearray, rest: Iterable[bytes], most: int) -> Iterator[tuple[Path, bytes]]:
    """A file of what has ``begun`` and the ``rest``, and its SHA-256; it is there while the block runs.

    Args:
        begun: is emptied.
        most: bytes of the file.

    Raises:
        InvalidVideo: it has more, or there is no room for it.
    """
    parent = Path(os.environ.get("TMPDIR") or "/tmp")
    with scratch_folder(parent, _PREFIX) as folder:
        path = folder / "film"
        yield path, _write(path, begun, rest, most)


def _write(path: Path, begun: bytearray, rest: Iterable[bytes], most: int) -> bytes:
    digest, size, looked = hashlib.sha256(), 0, 0
    with path.open("wb", buffering=0) as out:
        for piece in itertools.chain[bytes | bytearray]((begun,), rest):
            size += len(piece)
            if size > most:
                raise InvalidVideo(
                    f"the film has more than {most} bytes, the limit for one that is fetched: copy it to this machine, "
                    "and index its file"
                )
            if size - looked >= _LOOK_BYTES:
                looked = size
                _check_room(path.parent)
            digest.update(piece)
            _put(out.fileno(), piece, path.parent)
            begun.clear()
    return digest.digest()


def _put(file: int, piece: bytes | bytearray, folder: Path) -> None:
    with memoryview(piece) as left:
        place = 0
        while place < len(left):
            try:
                place += os.write(file, left[place:])
            except OSError as error:
                if error.errno in _FULL:
                    raise _no_room(folder) from error
                raise


def _check_room(folder: Path) -> None:
    if shutil.disk_usage(folder).free < _SPARE_BYTES:
        raise _no_room(folder)


def _no_room(folder: Path) -> InvalidVideo:
    return InvalidVideo(
        f"{folder.parent} has no room for the film that is fetched: name another folder by TMPDIR, or use fewer --jobs"
    )
