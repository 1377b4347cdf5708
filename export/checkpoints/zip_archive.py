"""The zip archives that torch writes since 1.6: a pickle, and the numbers of every storage as a record of its own."""

from __future__ import annotations

import os
import zipfile
from typing import BinaryIO

from .faults import Damaged

MAGIC = b"PK\x03\x04"
# Of the pickle alone; the numbers lie in other records.
MAX_PICKLE = 64 << 20
_PIECE = 16 << 20


class ZipArchive:
    """An open archive, whose records are together no larger than the file.

    Raises:
        Damaged: no archive of torch's.
    """

    def __init__(self, stream: BinaryIO) -> None:
        size = os.fstat(stream.fileno()).st_size
        try:
            self._zip = zipfile.ZipFile(stream)
            records = self._zip.infolist()
        # What zipfile raises on damage is not one kind of error: BadZipFile, NotImplementedError, struct.error, ...
        except Exception as error:
            raise Damaged("its list of records is damaged, or the file was cut") from error
        # What is compressed is never read. A script's code is: it isn't looked at either.
        if sum(record.file_size for record in records if _plain(record)) > size:
            raise Damaged(f"its records claim more than the file's {size} bytes")
        self._records = {record.filename: record for record in records}
        pickles = [name for name in self._records if name.count("/") == 1 and name.endswith("/data.pkl")]
        if len(pickles) != 1 or len(self._records) != len(records):
            raise Damaged("it has no data.pkl, or several")
        self._root = pickles[0].removesuffix("data.pkl")
        if self._has("byteorder") and bytes(self._read("byteorder", 16)) != b"little":
            raise Damaged("its numbers have the big end first: load and save it on another machine")

    @property
    def scripted(self) -> bool:
        """Whether it is a TorchScript archive, which has code beside the weights."""
        return self._has("constants.pkl")

    def pickle(self) -> bytes:
        """The bytes that say what is in it."""
        return bytes(self._read("data.pkl", MAX_PICKLE))

    def storage(self, key: str, nbytes: int) -> bytearray:
        """The ``nbytes`` bytes of a storage, compared with the record's checksum.

        Raises:
            Damaged: no such record, one of another size, or one whose bytes have changed.
        """
        if not self._has(f"data/{key}"):
            raise Damaged(f"the numbers of storage {key} are missing")
        raw = self._read(f"data/{key}", nbytes)
        if len(raw) != nbytes:
            raise Damaged(f"storage {key} has {len(raw)} bytes, {nbytes} were promised")
        return raw

    def _has(self, name: str) -> bool:
        return self._root + name in self._records

    def _read(self, name: str, most: int) -> bytearray:
        record = self._records[self._root + name]
        if not _plain(record):
            raise Damaged(f"its {name} is compressed, which torch's never is and which unpacks to any size")
        if record.file_size > most:
            raise Damaged(f"its {name} has {record.file_size} bytes, at most {most} were expected")
        raw, filled = bytearray(record.file_size), 0
        try:
            with self._zip.open(record) as stream, memoryview(raw) as view:
                while piece := stream.read(_PIECE):
                    view[filled : filled + len(piece)] = piece
                    filled += len(piece)
        except Exception as error:
            raise Damaged(f"its {name} has changed since it was written, or was cut") from error
        if filled != len(raw):
            raise Damaged(f"its {name} was cut")
        return raw


def _plain(record: zipfile.ZipInfo) -> bool:
    stored = record.compress_type == zipfile.ZIP_STORED and record.file_size == record.compress_size
    return stored and not record.flag_bits & 1
