"""Metadata of many videos as columns: for each field which rows have it, and their values as numbers and codes."""

from __future__ import annotations

import json
from array import array
from collections.abc import Callable, Iterator, Mapping, MutableSequence, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ....export.bundle.limits import MAX_FIELDS, MAX_WORD
from .grammar import Path
from .tokens import EXACT

# Objects within objects are fields of their own, so deep.
_DEEPEST = 4
# Texts that are parsed at a time.
_PIECE = 128
NUMBER, TEXT, TRUTH, OTHER = "numbers", "texts", "true and false", "objects"
# In front of the kind of what stands in lists.
LISTS = "lists of "

Rows = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Values:
    """Values of one field in some rows: of numbers float64, of truths bool, of texts their places in ``words``.

    ``integers`` are the whole numbers that no float64 is, as int64, or as Python's where one is larger.
    """

    numbers: tuple[Rows, npt.NDArray[np.float64]]
    integers: tuple[Rows, npt.NDArray[Any]]
    truths: tuple[Rows, npt.NDArray[np.bool_]]
    texts: tuple[Rows, npt.NDArray[np.int32]]


@dataclass(frozen=True)
class Column:
    """One field: which rows have it, what stands there itself, and what stands in lists there.

    Attributes:
        kinds: of all those values.
        words: the different texts of up to ``MAX_WORD`` characters; longer ones equal nothing.
    """

    present: Rows
    own: Values
    listed: Values
    kinds: frozenset[str]
    words: pa.Array


@dataclass(frozen=True)
class Columns:
    """The columns of some rows by field; ``partial`` where there was no room for all of them."""

    fields: dict[Path, Column]
    partial: bool


class Known:
    """The fields of a gallery, in the order in which they were found, and the kinds of their values.

    What comes when there are ``MAX_FIELDS`` can't be compared.
    """

    def __init__(self) -> None:
        self.kinds: dict[Path, set[str]] = {}

    @property
    def full(self) -> bool:
        """Whether there is no room for others."""
        return len(self.kinds) >= MAX_FIELDS

    def add(self, path: Path) -> bool:
        """Note a field; whether it can be compared."""
        if path not in self.kinds and not self.full:
            self.kinds[path] = set()
        return path in self.kinds

    def take(self, columns: Columns) -> None:
        """Note all fields of some columns and their kinds."""
        for path, column in columns.fields.items():
            if self.add(path):
                self.kinds[path] |= column.kinds


def columns_of(texts: pa.Array, known: Known, pause: Callable[[], None] = lambda: None) -> Columns:
    """The columns of metadata, one JSON object a row, of the fields that are ``known`` or for which there is room.

    Args:
        pause: called every millisecond or so.
    """
    making: dict[Path, _Making] = {}
    partial = False
    for start in range(0, len(texts), _PIECE):
        for row, text in enumerate(texts.slice(start, _PIECE).to_pylist(), start):
            if text == "{}":
                continue
            for path, value in _fields(_object(text)):
                if (made := making.get(path)) is None:
                    if not known.add(path):
                        partial = True
                        continue
                    made = making[path] = _Making()
                made.add(row, value)
        pause()
    found = Columns({path: made.column() for path, made in making.items()}, partial)
    known.take(found)
    return found


def _object(text: str) -> Mapping[str, Any]:
    """What a row's metadata says; nothing where it is none that ``check_metadata`` lets in, as others may write."""
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return values if isinstance(values, dict) else {}


def _fields(values: Mapping[str, Any]) -> Iterator[tuple[Path, Any]]:
    """Every field of an object and of those within it."""
    stack: list[tuple[Path, Mapping[str, Any]]] = [((), values)]
    while stack:
        path, each = stack.pop()
        for name, value in each.items():
            yield (*path, name), value
            if isinstance(value, dict) and len(path) + 1 < _DEEPEST:
                stack.append(((*path, name), value))


class _Making:
    """A column that is being made."""

    def __init__(self) -> None:
        self._present = array("i")
        self._own, self._listed = _Pairs(), _Pairs()
        self._words: dict[str, int] = {}
        self._kinds: set[str] = set()

    def add(self, row: int, value: Any) -> None:
        """Note a row's value; null is as if it were not there."""
        if value is None:
            return
        self._present.append(row)
        if isinstance(value, list):
            self._kinds.update(LISTS + self._put(self._listed, row, item) for item in value)
        else:
            self._kinds.add(self._put(self._own, row, value))

    def column(self) -> Column:
        """The column, of which nothing is added to afterwards."""
        words = pa.array(self._words, pa.string())
        own, listed = self._own.values(), self._listed.values()
        return Column(np.array(self._present, np.int32), own, listed, frozenset(self._kinds), words)

    def _put(self, pairs: _Pairs, row: int, value: Any) -> str:
        """Note a value of a row, and return its kind."""
        if isinstance(value, bool):
            pairs.truths[0].append(row)
            pairs.truths[1].append(value)
            return TRUTH
        if isinstance(value, int | float):
            rows, values = pairs.numbers if _is_float(value) else pairs.integers
            rows.append(row)
            values.append(value)
            return NUMBER
        if isinstance(value, str):
            if len(value) <= MAX_WORD:
                pairs.texts[0].append(row)
                pairs.texts[1].append(self._words.setdefault(value, len(self._words)))
            return TEXT
        return OTHER


class _Pairs:
    """Rows and their values, by kind."""

    def __init__(self) -> None:
        self.numbers: tuple[array[int], MutableSequence[Any]] = array("i"), array("d")
        self.integers: tuple[array[int], MutableSequence[Any]] = array("i"), []
        self.truths = array("i"), array("b")
        self.texts = array("i"), array("i")

    def values(self) -> Values:
        """The same as arrays."""
        return Values(
            (np.array(self.numbers[0], np.int32), np.array(self.numbers[1], np.float64)),
            (np.array(self.integers[0], np.int32), _integers(self.integers[1])),
            (np.array(self.truths[0], np.int32), np.array(self.truths[1], np.bool_)),
            (np.array(self.texts[0], np.int32), np.array(self.texts[1], np.int32)),
        )


def _is_float(value: Any) -> bool:
    if isinstance(value, float) or -EXACT <= value <= EXACT:
        return True
    try:
        return bool(int(float(value)) == value)
    except OverflowError:
        return False


def _integers(values: Sequence[float]) -> npt.NDArray[Any]:
    try:
        return np.array(values, np.int64)
    except OverflowError:
        return np.array(values, object)
