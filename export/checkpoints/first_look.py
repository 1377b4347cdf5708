"""Whether a file can be a checkpoint at all, told by how it begins and ends. Needs no torch, so it is told at once."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

from ..bundle.errors import CheckpointError
from .faults import Damaged
from .parts import parts_of
from .zip_archive import MAGIC, ZipArchive

_LOOKED_AT = 512
# What is found where a checkpoint should be, by how it begins.
_OTHERS = (
    (b"version https://git-lfs", "a pointer of Git LFS to the file, not the file: fetch it with git lfs pull"),
    (b"<!doctype html", "a web page, as downloads give it that ask for a confirmation: download the file itself"),
    (b"<html", "a web page, as downloads give it that ask for a confirmation: download the file itself"),
    (b"\x1f\x8b", "compressed by gzip: unpack it first"),
    (b"bzh", "compressed by bzip2: unpack it first"),
    (b"\xfd7zxz", "compressed by xz: unpack it first"),
    (b"7z\xbc\xaf", "a 7z archive: unpack it first"),
    (b"rar!", "a RAR archive: unpack it first"),
    (b"\x89hdf", "an HDF5 file, as Keras writes it: bring the authors' torch file"),
)
_LENGTH = 8
# Of all tensors' names and places.
_LARGEST_HEADER = 100 << 20
_PICKLE = 0x80


def is_safetensors(path: Path, head: bytes) -> bool:
    """Whether a file says so, by its name or, called otherwise, by how it begins: a length, and a JSON object."""
    return path.suffix == ".safetensors" or head[_LENGTH : _LENGTH + 2] == b'{"'


def look_at_all(paths: Iterable[Path]) -> None:
    """Refuse checkpoints, each a file or a folder with one, that are none; see ``parts_of`` and ``look_at``.

    Raises:
        CheckpointError: the message begins with the path.
    """
    for path in paths:
        for part in parts_of(path):
            look_at(part)


def look_at(path: Path) -> bool:
    """Refuse what is no checkpoint, or visibly only a part of one.

    Returns:
        Whether it is a safetensors file; torch's or Paddle's otherwise.

    Raises:
        CheckpointError: the message begins with the path, and says what it is instead.
    """
    if not os.path.lexists(path):
        raise CheckpointError(f"there is no checkpoint at {path}")
    try:
        # Opening a pipe would wait for whoever writes into it.
        if not stat.S_ISREG(path.stat().st_mode):
            raise CheckpointError("it is no file")
        with path.open("rb") as stream:
            head = stream.read(_LOOKED_AT)
            found = is_safetensors(path, head)
            _check(head, stream, safetensors=found)
        return found
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    except OSError as error:
        raise CheckpointError(f"{path}: it can't be read: {error.strerror or error}") from error


def _check(head: bytes, stream: BinaryIO, *, safetensors: bool) -> None:
    if not head:
        raise CheckpointError("the file is empty: fetch it again")
    begins = head.lstrip().lower()
    if (told := next((what for mark, what in _OTHERS if begins.startswith(mark)), None)) is not None:
        raise CheckpointError(f"it is {told}")
    if safetensors:
        _check_header(head, stream)
    elif head.startswith(MAGIC):
        try:
            ZipArchive(stream)
        except Damaged as error:
            raise CheckpointError(f"not a whole torch file: {error}. Fetch or save it again") from error
    elif head[0] != _PICKLE and b"ustar" not in head:
        raise CheckpointError("it does not begin as files of torch, Paddle and safetensors do. Fetch or save it again")


def _check_header(head: bytes, stream: BinaryIO) -> None:
    """Whether a safetensors file's header is there, and the numbers that it promises."""
    size, length = os.fstat(stream.fileno()).st_size, int.from_bytes(head[:_LENGTH], "little")
    fault = "not a whole safetensors file: {}. Fetch or save it again"
    if len(head) < _LENGTH or not 2 <= length <= min(size - _LENGTH, _LARGEST_HEADER):
        raise CheckpointError(fault.format("its header is cut, or is none"))
    stream.seek(_LENGTH)
    try:
        header = json.loads(stream.read(length))
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
        promised = _LENGTH + length + max(ends, default=0)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError) as error:
        raise CheckpointError(fault.format("its header can't be read")) from error
    if promised > size:
        raise CheckpointError(fault.format(f"it has {size} bytes of {promised}"))
