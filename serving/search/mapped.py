"""The file beside a gallery's table that searches map into memory: its rows, as they lie there.

A cache: it is written under a scratch name and renamed when it is whole, and what does not fit is never read. Its first
page says what it is, arrays follow in blocks of a page, and behind them lie ids and what the table was made of.

    page 0     magic, then JSON: sizes and the digest of the last part
    arrays     one for each tensor, with room for more rows, which takes no room on disk
    the rest   ids, fragments of the table, which row lies in which, and checksums of the arrays, as JSON and numbers
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import math
import mmap
import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...export.bundle.spec import TensorSpec
from ...export.bundle.whole_write import write_at
from ..gallery.table import Part
from .columns import shapes
from .pieces import Check, aside, sums_of

_MAGIC = b"framesift mapped gallery\n"
_FORMAT = 2
_PAGE = 4096
# From Linux' mman.h: what is mapped privately and may be written to asks for no swap.
_NORESERVE = 0x4000
_SCRATCH = ".part"

Arrays = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Contents:
    """What a file holds: rows in the order of their sequence numbers.

    Attributes:
        version: of the table.
        parts: the table's fragments then.
        places: uint32 [R], which of ``parts`` a row lies in.
        ids: of the rows.
    """

    version: int
    parts: Sequence[Part]
    places: npt.NDArray[np.uint32]
    ids: list[str]


class Layout:
    """Where arrays with room for so many rows lie in a file."""

    def __init__(self, key: str, specs: Sequence[TensorSpec], lanes: Mapping[str, int], room: int) -> None:
        self.room = room
        self.arrays = shapes(specs, lanes, room)
        self._of, self._lanes = specs, lanes
        self.key = hashlib.sha256(f"{_FORMAT} {key} {self._kinds(specs, lanes)}".encode()).hexdigest()
        self.starts, end = [], _PAGE
        for _, shape, dtype in self.arrays:
            self.starts.append(end)
            end += -(-math.prod(shape) * dtype.itemsize // _PAGE) * _PAGE
        self.end = end

    @staticmethod
    def _kinds(specs: Sequence[TensorSpec], lanes: Mapping[str, int]) -> str:
        return ", ".join(f"{spec.name} {spec.dtype} {spec.dims} {lanes.get(spec.name)}" for spec in specs)

    def used(self, rows: int) -> list[tuple[int, int]]:
        """Offset and bytes of what the first rows take of each array."""
        filled = shapes(self._of, self._lanes, rows)
        return [
            (start, math.prod(shape) * dtype.itemsize)
            for start, (_, shape, dtype) in zip(self.starts, filled, strict=True)
        ]

    def views(self, pages: mmap.mmap) -> Arrays:
        """The arrays in a mapped file."""
        return {
            name: np.ndarray(shape, dtype, pages, start)
            for start, (name, shape, dtype) in zip(self.starts, self.arrays, strict=True)
        }


def path_of(folder: Path, layout: Layout) -> Path:
    """The file of a gallery for rows of this kind."""
    return folder / f"{layout.key[:16]}.rows"


def open_mapped(
    folder: Path, key: str, specs: Sequence[TensorSpec], lanes: Mapping[str, int]
) -> tuple[Arrays, Contents, Check] | None:
    """The arrays and contents of the file in ``folder``; None where there is none that is whole and fits.

    Its arrays are compared with their checksums from then on: the check says so if they differ.

    Pages are shared with other processes that map the file. What is written to them afterwards is this process' own.
    """
    path = path_of(folder, Layout(key, specs, lanes, 0))
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError, MemoryError):
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            magic, _, told = os.pread(handle, _PAGE, 0).partition(b"\n")
            head = json.loads(told.rstrip(b"\0"))
            layout = Layout(key, specs, lanes, int(head["room"]))
            size = int(head["size"])
            if magic + b"\n" != _MAGIC or head["key"] != layout.key or os.fstat(handle).st_size != size:
                return None
            if size < layout.end or size - layout.end > size:
                return None
            rest = os.pread(handle, size - layout.end, layout.end)
            if hashlib.sha256(rest).hexdigest() != head["digest"]:
                return None
            contents, sums = _contents(rest)
            if len(contents.ids) != len(contents.places) or len(contents.ids) > layout.room:
                return None
            # Whoever can write here can write a digest, too.
            if len(contents.places) and contents.places.max() >= len(contents.parts):
                return None
            arrays = layout.views(_private(handle, layout.end))
            return arrays, contents, Check(os.dup(handle), layout.used(len(contents.ids)), sums)
        finally:
            os.close(handle)
    return None


class Building:
    """A file that is being filled: ``arrays`` are written to, then ``finish`` makes it the gallery's.

    Raises:
        OSError: it can't be made, or there is no room for it; nothing is left of it then.
        BlockingIOError: another process is making one.
    """

    def __init__(self, folder: Path, layout: Layout, rows: int) -> None:
        folder.mkdir(exist_ok=True)
        self._path, self._layout, self.rows = path_of(folder, layout), layout, rows
        self._scratch = self._path.with_suffix(_SCRATCH)
        handle = os.open(self._scratch, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        try:
            # What a process left that was killed is begun anew.
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not _same(handle, self._scratch):
                raise BlockingIOError(f"{self._scratch} was finished by another process")
            try:
                os.ftruncate(handle, 0)
                os.ftruncate(handle, layout.end)
                # A page that can't be written when the disk is full would end the process.
                for start, size in layout.used(rows):
                    if size:
                        os.posix_fallocate(handle, start, size)
                shared = mmap.mmap(handle, layout.end, flags=mmap.MAP_SHARED)
            except OSError:
                self._scratch.unlink(missing_ok=True)
                raise
        except BaseException:
            os.close(handle)
            raise
        self._handle = handle
        self.filling = layout.views(shared)

    def write(self, name: str, start: int, rows: npt.NDArray[Any]) -> None:
        """Put rows [N, ...] of an array in their place from number ``start`` on.

        Through the mapping the system would be asked once for every page, which takes several times as long.

        Raises:
            OSError: they can't be written.
        """
        at = next(place for place, (known, _, _) in enumerate(self._layout.arrays) if known == name)
        kept = np.ascontiguousarray(rows, self._layout.arrays[at][2])
        place = self._layout.starts[at] + start * (kept.nbytes // max(1, len(kept)))
        write_at(self._handle, kept.reshape(-1).view(np.uint8).data, place)

    def filled(self) -> Arrays:
        """The arrays as they are, where later rows are this process' own."""
        self.filling = {}
        return self._layout.views(_private(self._handle, self._layout.end))

    def finish(self, contents: Contents) -> None:
        """Write the rest and put the file in its place. Its arrays must not be written to any more.

        Raises:
            OSError: it can't be written; the one that was there stays.
        """
        try:
            rest = _rest(contents, list(sums_of(self._handle, self._layout.used(self.rows))))
            write_at(self._handle, rest, self._layout.end)
            os.fsync(self._handle)
            head = {
                "key": self._layout.key,
                "room": self._layout.room,
                "size": self._layout.end + len(rest),
                "digest": hashlib.sha256(rest).hexdigest(),
                "version": contents.version,
            }
            os.pwrite(self._handle, _MAGIC + json.dumps(head).encode(), 0)
            os.fsync(self._handle)
            self._scratch.rename(self._path)
            os.close(self._handle)
            self._handle = -1
        finally:
            self.close()

    def close(self) -> None:
        """Give up what is not finished."""
        if self._handle >= 0:
            self._scratch.unlink(missing_ok=True)
            os.close(self._handle)
            self._handle = -1

    def finish_later(self, contents: Contents) -> threading.Thread:
        """``finish`` in a thread: writing back a large gallery takes as long as the disk does."""
        return aside(partial(self._quietly, contents), "gallery-cache")

    def _quietly(self, contents: Contents) -> None:
        # It is only a cache.
        with contextlib.suppress(OSError):
            self.finish(contents)


def _same(handle: int, path: Path) -> bool:
    """Whether a path still leads to the file that was opened by it."""
    try:
        return os.path.samestat(os.fstat(handle), path.lstat())
    except FileNotFoundError:
        return False


def _private(handle: int, size: int) -> mmap.mmap:
    return mmap.mmap(handle, size, flags=mmap.MAP_PRIVATE | _NORESERVE, prot=mmap.PROT_READ | mmap.PROT_WRITE)


def _rest(contents: Contents, sums: Sequence[int]) -> bytes:
    told = {"version": contents.version, "parts": [astuple(part) for part in contents.parts], "sums": sums}
    head = json.dumps(told).encode()
    # Ids have no line breaks.
    ids = "\n".join(contents.ids).encode()
    sizes = np.array([len(head), len(contents.ids), len(ids)], np.int64).tobytes()
    return b"".join((sizes, head, np.asarray(contents.places, np.uint32).tobytes(), ids))


def _contents(rest: bytes) -> tuple[Contents, list[int]]:
    head, rows, ids = np.frombuffer(rest, np.int64, 3).tolist()
    told = json.loads(rest[24 : 24 + head])
    start = 24 + head
    places = np.frombuffer(rest, np.uint32, rows, start)
    text = rest[start + 4 * rows :]
    if len(text) != ids:
        raise ValueError("the ids have another length")
    contents = Contents(
        int(told["version"]),
        [Part(int(n), str(file), int(count), int(live), str(gone)) for n, file, count, live, gone in told["parts"]],
        places,
        text.decode().split("\n") if rows else [],
    )
    return contents, [int(one) for one in told["sums"]]
