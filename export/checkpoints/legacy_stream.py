"""The files that torch wrote before 1.6, and still can: four pickles, then the numbers of one storage after another."""

from __future__ import annotations

import os
from typing import Any, BinaryIO

from .faults import Damaged
from .pickle_reader import PickleReader
from .stored import Storage
from .zip_archive import MAX_PICKLE

_MAGIC, _VERSION = 0x1950A86A20F9469CFC6C, 1001
_LENGTH_BYTES = 8
# A tar archive says so here.
_TAR_AT, _TAR = 257, b"ustar"


class LegacyStream:
    """An open file of that kind.

    Attributes:
        value: what it holds, see ``PickleReader.read``.

    Raises:
        Damaged: no such file.
        Forbidden: it asks for an object that isn't weights.
    """

    value: Any

    def __init__(self, stream: BinaryIO) -> None:
        self._stream, self._size = stream, os.fstat(stream.fileno()).st_size
        head = stream.read(MAX_PICKLE)
        if head[_TAR_AT:].startswith(_TAR):
            raise Damaged("it is a tar archive, as torch wrote them before 0.1.10: load and save it with an old torch")
        reader = PickleReader(head)
        if reader.read() != _MAGIC:
            raise Damaged("it doesn't begin as torch's files do")
        if reader.read() != _VERSION:
            raise Damaged("it is of a version of torch's format that nobody knows")
        about = reader.read()
        if not isinstance(about, dict) or about.get("little_endian") is not True:
            raise Damaged("its numbers have the big end first: load and save it on another machine")
        self.value = reader.read()
        keys = reader.read()
        if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
            raise Damaged("it doesn't list its storages")
        self._keys, self._start = keys, reader.place
        self._places: dict[str, int] = {}

    def storage(self, wanted: Storage, sizes: dict[str, int]) -> bytearray:
        """The bytes of a storage.

        Args:
            sizes: of an element of every storage that the file describes, by key.

        Raises:
            Damaged: it isn't there, or is of another size.
        """
        place = self._find(sizes).get(wanted.key)
        if place is None:
            raise Damaged(f"the numbers of storage {wanted.key} are missing")
        if self._count(place) != wanted.count or place + _LENGTH_BYTES + wanted.nbytes > self._size:
            raise Damaged(f"storage {wanted.key} is of another size than was promised, or was cut")
        raw = bytearray(wanted.nbytes)
        self._stream.seek(place + _LENGTH_BYTES)
        if self._stream.readinto(raw) != len(raw):  # type: ignore[attr-defined]
            raise Damaged(f"storage {wanted.key} was cut")
        return raw

    def _find(self, sizes: dict[str, int]) -> dict[str, int]:
        """Where every storage begins: behind the one before it."""
        place = self._start
        if not self._places:
            for key in self._keys:
                if key not in sizes:
                    raise Damaged(f"it lists a storage {key!r:.40} that nothing describes")
                self._places[key] = place
                place += _LENGTH_BYTES + self._count(place) * sizes[key]
        return self._places

    def _count(self, place: int) -> int:
        self._stream.seek(place)
        count = int.from_bytes(self._stream.read(_LENGTH_BYTES), "little", signed=True)
        if not 0 <= count <= self._size:
            raise Damaged("a storage is longer than the file")
        return count
