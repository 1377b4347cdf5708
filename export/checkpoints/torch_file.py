"""A torch or Paddle file as data: what is in it, and the numbers of those tensors that are asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from torch import Tensor

from .faults import Damaged
from .known_globals import Inert
from .legacy_stream import LegacyStream
from .paddle_file import HEAD, PaddleFile, is_paddles
from .pickle_reader import PickleReader
from .stored import StoredTensor
from .zip_archive import MAGIC, ZipArchive

# Tied tensors are stored once and read once each. All together they may be so many times the file.
_TIES = 4
_MOST_NAMES = 1_000_000


class TorchFile:
    """An open torch file, or Paddle's of a state_dict. Tensors are read when ``tensors`` is asked for them.

    Attributes:
        value: plain containers, ``StoredTensor`` and ``Inert``; of a scripted module its tensors by name.
        scripted: whether it is a TorchScript archive. Its code is never looked at.

    Raises:
        Damaged: not a whole torch file.
        Forbidden: it asks for an object that isn't weights.
    """

    def __init__(self, stream: BinaryIO) -> None:
        head = stream.read(max(len(MAGIC), HEAD))
        stream.seek(0)
        self._zip: ZipArchive | None = None
        self._legacy: LegacyStream | None = None
        self._paddle: PaddleFile | None = None
        if head.startswith(MAGIC):
            self._zip = ZipArchive(stream)
            self.value: Any = PickleReader(self._zip.pickle()).read()
        elif is_paddles(head):
            self._paddle = PaddleFile(stream)
            self.value = self._paddle.value
        else:
            self._legacy = LegacyStream(stream)
            self.value = self._legacy.value
        self.scripted = self._zip is not None and self._zip.scripted
        if self.scripted:
            self.value = dict(_attributes(self.value))
        self._size = stream.seek(0, 2)

    def tensors(self, chosen: Mapping[str, StoredTensor]) -> dict[str, Tensor]:
        """The tensors of these descriptions, by name.

        Raises:
            Damaged: numbers are missing, changed or fewer than a description says; the message names the tensor.
        """
        for name, stored in chosen.items():
            if stored.spread:
                raise Damaged(f"{name} {list(stored.shape)} is larger than the numbers stored for it")
        if (total := sum(stored.nbytes for stored in chosen.values())) > _TIES * self._size:
            raise Damaged(f"its tensors claim {total} bytes, the file has {self._size}")
        raw: dict[str, bytearray] = {}
        made = {}
        for name, stored in chosen.items():
            storage = stored.storage
            if storage.key not in raw:
                raw[storage.key] = self._read(stored)
            try:
                made[name] = stored.of(raw[storage.key])
            except Damaged as error:
                raise Damaged(f"{name}: {error}") from error
        return made

    def _read(self, stored: StoredTensor) -> bytearray:
        storage = stored.storage
        if self._zip is not None:
            return self._zip.storage(storage.key, storage.nbytes)
        if self._paddle is not None:
            return self._paddle.storage(storage.key)
        assert self._legacy is not None
        return self._legacy.storage(storage, self._sizes())

    def _sizes(self) -> dict[str, int]:
        """The size of an element of every storage that the file describes, by key."""
        return {stored.storage.key: stored.storage.dtype.itemsize for stored in _stored(self.value)}


@contextmanager
def opened(path: Path) -> Iterator[TorchFile]:
    """The file at ``path``, open while the block runs."""
    with path.open("rb") as stream:
        yield TorchFile(stream)


def _attributes(module: Any) -> Iterator[tuple[str, StoredTensor]]:
    """The tensors of a scripted module and of those in it, by their names in its state_dict."""
    if not isinstance(module, Inert):
        raise Damaged("its data.pkl holds no module")
    left: list[tuple[str, object]] = [("", module)]
    # A module may be in another under several names, and so may what is in it.
    for _ in range(_MOST_NAMES):
        if not left:
            return
        name, value = left.pop()
        if isinstance(value, StoredTensor):
            yield name, value
        elif isinstance(value, Inert):
            inside = [(f"{name}.{key}" if name else str(key), part) for key, part in value.state.items()]
            left.extend(reversed(inside))
    raise Damaged("its modules have more parts than any model's")


def _stored(value: Any) -> Iterator[StoredTensor]:
    """Every tensor in a file's value."""
    left, seen = [value], set()
    while left:
        found = left.pop()
        if isinstance(found, StoredTensor):
            yield found
        elif isinstance(found, dict | list | tuple | Inert) and id(found) not in seen:
            seen.add(id(found))
            inside = found.state if isinstance(found, Inert) else found
            left.extend(inside.values() if isinstance(inside, Mapping) else inside)
