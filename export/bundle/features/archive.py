"""The zip archives of npz files, read so that no archive takes more memory or time than a file of its size may.

zipfile makes an object of every entry before anybody can count them, and inflates for as long as nothing comes out.
"""

from __future__ import annotations

import struct
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..errors import InvalidFeatures, ServerUnavailable
from ..limits import MAX_FEATURE_SECONDS

# An npz of features has some tens of arrays.
MOST_ARRAYS = 64
_LARGEST_DIRECTORY = MOST_ARRAYS << 10
# The record that ends an archive, an entry of its directory, and what stands in front of a member's bytes.
_END, _END_MARK = struct.Struct("<4s4H2LH"), b"PK\5\6"
_ENTRY, _ENTRY_MARK = struct.Struct("<4s6H3L5H2L"), b"PK\1\2"
_LOCAL, _LOCAL_MARK = struct.Struct("<4s5H3L2H"), b"PK\3\4"
_STORED, _DEFLATED, _ENCRYPTED, _UTF8 = 0, 8, 1, 1 << 11
# How much is inflated between two looks at the time: of what is packed, and of what comes out.
_PACKED, _UNPACKED = 1 << 16, 1 << 20


# By the clock, on a machine that has other things to do: sooner than whoever watches takes the process for a dead one.
_PATIENCE_S = 60.0


class _Time:
    """The time in which a file is unpacked, from now on."""

    def __init__(self) -> None:
        self._worked, self._began = time.thread_time(), time.monotonic()

    def look(self) -> None:
        """Give up where it has passed."""
        if time.thread_time() - self._worked > MAX_FEATURE_SECONDS:
            raise InvalidFeatures(
                f"the npz file takes more than {MAX_FEATURE_SECONDS:g} s to unpack: save it by np.savez"
            )
        if time.monotonic() - self._began > _PATIENCE_S:
            raise ServerUnavailable(
                f"this machine is too busy: in {_PATIENCE_S:g} s the npz file was not unpacked; try again later"
            )


@dataclass(frozen=True)
class _Entry:
    name: str
    packed: memoryview
    method: int
    size: int
    checksum: int


def read_archive(data: memoryview, largest: int) -> dict[str, memoryview]:
    """What the members of an archive hold, by their names; at most ``largest`` bytes together.

    Args:
        data: uint8, the file's content; members that are not compressed are parts of it.

    Raises:
        InvalidFeatures: no archive as np.savez writes it, damaged, too large, or too slow to unpack.
        ServerUnavailable: the machine is too busy to unpack it in any reasonable time.
    """
    entries = list(_entries(data))
    if (size := sum(entry.size for entry in entries)) > largest:
        raise InvalidFeatures(f"the npz file's arrays have {size} bytes, the limit is {largest}")
    if sum(len(entry.packed) for entry in entries) > len(data):
        raise InvalidFeatures("the npz file is damaged: its arrays lie over one another")
    left, found = _Time(), dict[str, memoryview]()
    for entry in entries:
        if entry.name in found:
            raise InvalidFeatures(f"the npz file has {entry.name!a:.60} twice")
        content = entry.packed if entry.method == _STORED else _inflated(entry, left)
        if len(content) != entry.size or zlib.crc32(content) != entry.checksum:
            raise InvalidFeatures(f"the npz file is damaged: {entry.name!a:.60} has changed since it was written")
        found[entry.name] = content
    return found


def _entries(data: memoryview) -> Iterator[_Entry]:
    end = len(data) - _END.size
    mark, *_, count, size, start, comment = _END.unpack(data[end:]) if end >= 0 else (b"",) * 8
    # np.savez writes no comment behind the end, and nothing between it and the directory.
    if mark != _END_MARK or comment or size > _LARGEST_DIRECTORY or start + size != end:
        raise InvalidFeatures("the npz file has no end as np.savez writes it, or is cut off: save it by numpy")
    if not 1 <= count <= MOST_ARRAYS:
        raise InvalidFeatures(f"the npz file has {count} arrays, it may have 1 to {MOST_ARRAYS}")
    directory, place = data[start:end], 0
    for _ in range(count):
        entry = directory[place : place + _ENTRY.size]
        if len(entry) < _ENTRY.size or bytes(entry[:4]) != _ENTRY_MARK:
            raise InvalidFeatures("the npz file is damaged: its directory is cut off")
        _, _, _, flags, method, _, _, checksum, packed, size, named, more, said, *_, offset = _ENTRY.unpack(entry)
        raw = bytes(directory[place + _ENTRY.size :][:named])
        place += _ENTRY.size + named + more + said
        name = raw.decode("utf-8" if flags & _UTF8 else "cp437", "replace")
        if flags & _ENCRYPTED or method not in (_STORED, _DEFLATED):
            raise InvalidFeatures(f"{name!a:.60} is packed as np.savez doesn't: save it by numpy")
        yield _Entry(name, _packed(data[:start], name, offset, packed), method, size, checksum)


def _packed(members: memoryview, name: str, offset: int, size: int) -> memoryview:
    """The bytes of a member as they lie in the file."""
    local = members[offset : offset + _LOCAL.size]
    if len(local) == _LOCAL.size and bytes(local[:4]) == _LOCAL_MARK:
        *_, named, more = _LOCAL.unpack(local)
        found = members[offset + _LOCAL.size + named + more :][:size]
        if len(found) == size:
            return found
    raise InvalidFeatures(f"the npz file is damaged: {name!a:.60} is not where it should be")


def _inflated(entry: _Entry, time_left: _Time) -> memoryview:
    """A member unpacked, as far as it has no more bytes than it says."""
    # In one piece from the beginning: what grows is held twice whenever it moves. What isn't written takes no memory.
    content, filled, unpacker = np.empty(entry.size, np.uint8).data, 0, zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        for start in range(0, len(entry.packed), _PACKED):
            left: memoryview | bytes = entry.packed[start : start + _PACKED]
            made, most = b"", 0
            # zlib may have taken all and still hold some of what comes out, where that filled its room.
            while not unpacker.eof and (left or len(made) == most):
                most = min(_UNPACKED, entry.size - filled + 1)
                made = unpacker.decompress(left, most)
                left = unpacker.unconsumed_tail
                if filled + len(made) > entry.size:
                    raise InvalidFeatures(f"{entry.name!a:.60} unpacks to more than the {entry.size} bytes it says")
                content[filled : filled + len(made)] = made
                filled += len(made)
                time_left.look()
    except zlib.error as error:
        raise InvalidFeatures(f"the npz file is damaged: {entry.name!a:.60} can't be unpacked, {error}") from error
    return content[:filled]
