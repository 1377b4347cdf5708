"""A reader of the pickles that torch and Paddle write. It imports nothing, calls nothing of the file's and allocates no
more than the file's own size asks for: unlike Python's, it has no instruction that could.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from mmap import mmap
from typing import Any

from .faults import Damaged
from .known_globals import Inert, Known, put
from .known_globals import find as find_torchs
from .stored import storage_of

# A model of 100,000 tensors takes six million instructions; more are no weights.
MAX_STEPS = 20_000_000


class PickleReader:
    """Reads one pickle after another out of ``data``, which the objects of all of them are taken from.

    Args:
        find: what stands for a name of the file's, by module and name, see ``known_globals.find``.

    Attributes:
        place: where the next one begins.
    """

    def __init__(self, data: bytes | mmap, find: Callable[[str, str], object] = find_torchs) -> None:
        self._data, self.place, self._steps, self.find = data, 0, 0, find
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}

    def read(self) -> Any:
        """The next pickle's value: plain containers, numbers and texts, ``StoredTensor`` and ``Inert``.

        Raises:
            Damaged: it is no pickle that torch writes.
            Forbidden: it asks for an object that isn't weights.
        """
        self._stack, self._marks, self._memo = [], [], {}
        while True:
            code = self.byte()
            if code == _STOP:
                return self.pop()
            self._steps += 1
            if self._steps > MAX_STEPS:
                raise Damaged("its pickle has more instructions than any model's")
            if code not in _STEPS:
                raise Damaged(f"its pickle has the instruction {code:#04x}, which torch doesn't write")
            try:
                _STEPS[code](self)
            except (TypeError, ValueError, IndexError, struct.error) as error:
                raise Damaged(f"its pickle can't be read at byte {self.place}") from error

    def take(self, size: int) -> bytes:
        """The next ``size`` bytes."""
        end = self.place + size
        if not 0 <= size <= len(self._data) - self.place:
            raise Damaged("its pickle ends too early")
        taken, self.place = self._data[self.place : end], end
        return taken

    def byte(self) -> int:
        """The next byte."""
        return self.take(1)[0]

    def number(self, layout: str) -> Any:
        """The next number of a ``struct`` layout."""
        return struct.unpack(layout, self.take(struct.calcsize(layout)))[0]

    def line(self) -> str:
        """The text up to the next line break."""
        end = self._data.find(b"\n", self.place, self.place + 1024)
        text = self.take(end - self.place)
        self.place += 1
        return text.decode("utf-8")

    def push(self, value: Any) -> None:
        """Put a value on the stack."""
        self._stack.append(value)

    def pop(self) -> Any:
        """Take the last value off the stack."""
        if len(self._stack) <= (self._marks[-1] if self._marks else 0):
            raise Damaged("its pickle takes a value that isn't there")
        return self._stack.pop()

    def mark(self) -> None:
        """Remember the stack's height."""
        self._marks.append(len(self._stack))

    def since_mark(self) -> list[Any]:
        """Take everything off the stack that lies above the last mark."""
        if not self._marks:
            raise Damaged("its pickle takes values that aren't there")
        start = self._marks.pop()
        values = self._stack[start:]
        del self._stack[start:]
        return values

    def remember(self, place: int) -> None:
        """Keep the last value under a number."""
        value = self.pop()
        self._memo[place] = value
        self.push(value)

    def memoize(self) -> None:
        """Keep the last value under the next number."""
        self.remember(len(self._memo))

    def recall(self, place: int) -> None:
        """Put the value of a number on the stack again."""
        if place not in self._memo:
            raise Damaged("its pickle repeats a value that isn't there")
        self.push(self._memo[place])

    def call(self) -> None:
        """What stands for a function or class, with its arguments."""
        args, function = self.pop(), self.pop()
        if not isinstance(function, Known) or not isinstance(args, tuple):
            raise Damaged("its pickle calls what can't be called")
        self.push(function.call(*args))

    def build(self) -> None:
        """The state of an object."""
        state, target = self.pop(), self.pop()
        if isinstance(target, Inert):
            target.build(state)
        self.push(target)

    def append(self, values: list[Any]) -> None:
        """Values at the end of the list on top."""
        target = self.pop()
        if isinstance(target, list):
            target.extend(values)
        elif not isinstance(target, Inert):
            raise Damaged("its pickle appends to what is no list")
        self.push(target)

    def set_items(self, values: list[Any]) -> None:
        """Keys and values, in turn, into the mapping on top."""
        target = self.pop()
        for key, value in zip(values[::2], values[1::2], strict=True):
            put(target, key, value)
        self.push(target)

    def last(self, count: int) -> list[Any]:
        """Take that many values off the stack, in the order in which they were put there."""
        return [self.pop() for _ in range(count)][::-1]

    def integer(self, size: int) -> int:
        """A signed number of ``size`` bytes, little end first."""
        return int.from_bytes(self.take(size), "little", signed=True)

    def text(self, size: int) -> str:
        """``size`` bytes of UTF-8."""
        return self.take(size).decode("utf-8")


def _stack_global(reader: PickleReader) -> None:
    module, name = reader.last(2)
    reader.push(reader.find(str(module), str(name)))


def _call_with_names(reader: PickleReader) -> None:
    # What is made here of a file's classes takes nothing by name.
    reader.pop()
    reader.call()


def _put_long(reader: PickleReader) -> None:
    # No number of a model's has more than the 255 bytes of the shorter instruction, and work on longer ones is slow.
    reader.take(reader.number("<i"))
    reader.push(Inert("builtins.int"))


def _put_bytearray(reader: PickleReader) -> None:
    reader.take(reader.number("<Q"))
    reader.push(Inert("builtins.bytearray"))


def _put_set(reader: PickleReader) -> None:
    reader.since_mark()
    reader.push(Inert("frozenset"))


_STOP = ord(".")
_STEPS: Mapping[int, Callable[[PickleReader], object]] = {
    0x80: lambda r: r.byte(),  # protocol
    0x95: lambda r: r.number("<Q"),  # frame
    ord("("): lambda r: r.mark(),
    ord("0"): lambda r: r.pop(),
    ord("1"): lambda r: r.since_mark(),
    ord("N"): lambda r: r.push(None),
    0x88: lambda r: r.push(True),
    0x89: lambda r: r.push(False),
    ord("K"): lambda r: r.push(r.byte()),
    ord("M"): lambda r: r.push(r.number("<H")),
    ord("J"): lambda r: r.push(r.number("<i")),
    0x8A: lambda r: r.push(r.integer(r.byte())),
    0x8B: _put_long,
    ord("G"): lambda r: r.push(r.number(">d")),
    ord("X"): lambda r: r.push(r.text(r.number("<I"))),
    0x8C: lambda r: r.push(r.text(r.byte())),
    # Texts of Python 2, and bytes.
    ord("U"): lambda r: r.push(r.text(r.byte())),
    ord("T"): lambda r: r.push(r.text(r.number("<I"))),
    ord("C"): lambda r: r.push(r.take(r.byte())),
    ord("B"): lambda r: r.push(r.take(r.number("<I"))),
    0x8E: lambda r: r.push(r.take(r.number("<Q"))),
    0x96: _put_bytearray,
    ord(")"): lambda r: r.push(()),
    0x85: lambda r: r.push(tuple(r.last(1))),
    0x86: lambda r: r.push(tuple(r.last(2))),
    0x87: lambda r: r.push(tuple(r.last(3))),
    ord("t"): lambda r: r.push(tuple(r.since_mark())),
    ord("]"): lambda r: r.push([]),
    ord("l"): lambda r: r.push(r.since_mark()),
    ord("a"): lambda r: r.append(r.last(1)),
    ord("e"): lambda r: r.append(r.since_mark()),
    ord("}"): lambda r: r.push({}),
    ord("s"): lambda r: r.set_items(r.last(2)),
    ord("u"): lambda r: r.set_items(r.since_mark()),
    0x8F: lambda r: r.push(Inert("set")),
    0x90: lambda r: r.since_mark(),  # items of a set
    0x91: _put_set,
    ord("q"): lambda r: r.remember(r.byte()),
    ord("r"): lambda r: r.remember(r.number("<I")),
    0x94: lambda r: r.memoize(),
    ord("h"): lambda r: r.recall(r.byte()),
    ord("j"): lambda r: r.recall(r.number("<I")),
    ord("c"): lambda r: r.push(r.find(r.line(), r.line())),
    0x93: _stack_global,
    ord("R"): lambda r: r.call(),
    0x81: lambda r: r.call(),
    0x92: _call_with_names,
    ord("b"): lambda r: r.build(),
    ord("Q"): lambda r: r.push(storage_of(r.pop())),
}
