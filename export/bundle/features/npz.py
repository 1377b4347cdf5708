"""npz files: a zip archive of npy files. numpy's own reader believes what a header says of sizes; this one compares."""

from __future__ import annotations

import io
import math
import struct
import zipfile
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import InvalidFeatures
from .kinds import check_kind, shaped

# An npz of features has some tens of arrays, and a header of numpy's some hundred bytes.
MOST_ARRAYS = 64
_LONGEST_HEADER = 4096
# In front of a header: the magic, a version, and its length.
_BEFORE_HEADER = 12
_PIECE = 1 << 20
# The directory of so many arrays, and the record that ends an archive: np.savez writes no comment behind it.
_LARGEST_DIRECTORY = 64 << 10
_END, _LARGE_END = struct.Struct("<4s4H2LH"), 20
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def read_npz(data: memoryview, largest: int) -> dict[str, npt.NDArray[Any]]:
    """The arrays of an npz file; at most ``largest`` bytes are unpacked.

    Raises:
        InvalidFeatures: no such file, too large, or with what isn't an array of numbers.
    """
    _check_directory(data)
    try:
        with zipfile.ZipFile(_Reader(data)) as archive:
            members = archive.infolist()
            if not 1 <= len(members) <= MOST_ARRAYS:
                raise InvalidFeatures(f"the npz file has {len(members)} arrays, it may have 1 to {MOST_ARRAYS}")
            if (size := sum(member.file_size for member in members)) > largest:
                raise InvalidFeatures(f"the npz file's arrays have {size} bytes, the limit is {largest}")
            found: dict[str, npt.NDArray[Any]] = {}
            for member in members:
                name = member.filename.removesuffix(".npy")
                if name in found:
                    raise InvalidFeatures(f"the npz file has {name!a:.60} twice")
                found[name] = _array(name, _content(archive, member))
            return found
    # What a damaged archive raises depends on the place of the damage.
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, NotImplementedError, RuntimeError) as error:
        if isinstance(error, InvalidFeatures):
            raise
        raise InvalidFeatures(f"the npz file is damaged: {str(error)[:200] or type(error).__name__}") from error


def _check_directory(data: memoryview) -> None:
    """Refuse a directory that would take more memory than the file: zipfile makes an object of every entry."""
    fields = _END.unpack(data[-_END.size :]) if len(data) >= _END.size else (b"",) * 8
    large = bytes(data[-_END.size - _LARGE_END :][:4]) == b"PK\6\7"
    if fields[0] != b"PK\5\6" or fields[7] or large or fields[5] > _LARGEST_DIRECTORY:
        raise InvalidFeatures("the npz file has no end as np.savez writes it, or is cut off: save it by numpy")


def _content(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytearray:
    if member.compress_type not in _METHODS or member.flag_bits & 1:
        raise InvalidFeatures(f"{member.filename!a:.60} is packed as np.savez doesn't: save it by numpy")
    content = bytearray()
    with archive.open(member) as stream:
        # However much it inflates to, no more than was announced is read. In one piece it would be held twice.
        while piece := stream.read(min(_PIECE, member.file_size - len(content))):
            content += piece
    return content


def _array(name: str, content: bytearray) -> npt.NDArray[Any]:
    # Its types lack an argument.
    npy: Any = np.lib.format
    stream = io.BytesIO(content[: _BEFORE_HEADER + _LONGEST_HEADER])
    try:
        version = npy.read_magic(stream)
        read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}[version]
        shape, fortran, dtype = read(stream, max_header_size=_LONGEST_HEADER)
    # numpy reads the header with Python's own parser, and lets whatever that raises through.
    except Exception as error:
        raise InvalidFeatures(f"{name!a:.60} is no npy array of numbers: {str(error)[:120]}") from error
    check_kind(name, dtype)
    left = len(content) - stream.tell()
    if any(size < 0 for size in shape) or math.prod(shape) * dtype.itemsize != left:
        raise InvalidFeatures(f"{name!a:.60} has the shape {list(shape)!s:.60} of {dtype}, but {left} bytes")
    flat = np.frombuffer(content, dtype, offset=stream.tell())
    return shaped(name, flat, shape, "F" if fortran else "C")


class _Reader(io.RawIOBase):
    """A file of bytes that are not copied."""

    def __init__(self, data: memoryview) -> None:
        self._data, self._place = data, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        part = self._data[self._place : self._place + len(buffer)]
        buffer[: len(part)] = part
        self._place += len(part)
        return len(part)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: len(self._data)}[whence]
        if start + offset < 0:
            raise ValueError("a place before the beginning")
        self._place = start + offset
        return self._place
