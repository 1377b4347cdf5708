"""Which rows of a gallery a filter lets through."""

from __future__ import annotations

import difflib
import threading
import time
from collections.abc import Callable, Mapping
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ....export.bundle.errors import ServerUnavailable
from ....export.bundle.ports import DURATION, END, ID, METADATA, SEGMENT, SEGMENTS, SOURCE, START
from ..facts import Piece
from ..view import View
from .columns import LISTS, NUMBER, TEXT, TRUTH, Column, Columns, Known, Values, columns_of
from .grammar import Every, Filter, Not, Path, Some, Test, name_of, tests
from .numbers import of_floats, of_integers
from .tokens import Value, fault

Mask = npt.NDArray[np.bool_]
_SHOWN_FIELDS, _LONGEST_NAME = 12, 64
# How long a filter waits for columns, while searches wait behind it.
_PATIENCE_S = 1.0
ORDER = frozenset({"<", "<=", ">", ">="})
_TEXTS: Mapping[str, Callable[..., pa.Array]] = {
    "=": pc.equal,
    "<": pc.less,
    "<=": pc.less_equal,
    ">": pc.greater,
    ">=": pc.greater_equal,
    "in": pc.is_in,
}
# What a video may have beside its metadata, and of which kind it is.
_VALUES: Mapping[Path, str] = {
    (DURATION,): DURATION,
    (SEGMENT, "number"): SEGMENT,
    (SEGMENT, START): START,
    (SEGMENT, END): END,
}
OWN: Mapping[Path, str] = {(ID,): TEXT, (SOURCE,): TEXT, **dict.fromkeys(_VALUES, NUMBER)}


class Matcher:
    """Finds rows by filters. Columns of new rows are made with the next filter."""

    def __init__(self) -> None:
        self._making = threading.Lock()
        self._known = Known()
        self._columns: WeakKeyDictionary[Piece, Columns] = WeakKeyDictionary()
        self._count = 0

    def prepare(self, pieces: tuple[Piece, ...]) -> None:
        """Make columns before the first filter comes, beside searches: some ten seconds for a million videos."""
        with self._making:
            self._of(pieces, _give_way)

    def rows(self, filter_: Filter, pieces: tuple[Piece, ...], view: View) -> npt.NDArray[np.int64]:
        """The rows of a view that a filter lets through, in the order of the pieces.

        Args:
            pieces: the facts of all the view's rows, each row's in one piece.

        Raises:
            InvalidRequest: a field that no video has, or a value of a kind that it never has; the message names the
                place in the filter.
            ServerUnavailable: columns are still being made.
        """
        if not self._making.acquire(timeout=_PATIENCE_S):
            raise ServerUnavailable("metadata is still being read for filters: try again in a moment")
        try:
            columns = self._of(pieces)
        finally:
            self._making.release()
        if pieces:
            for test in tests(filter_):
                self._check(test)
        found = [piece.numbers[_holds(filter_, piece, held)] for piece, held in zip(pieces, columns, strict=True)] or [
            np.empty(0, np.int64)
        ]
        numbers = np.concatenate(found)
        rows = np.searchsorted(view.numbers, numbers)
        # Facts may be there of rows that came after the view, or were swept before it.
        there = rows < len(view.numbers)
        there[there] = view.numbers[rows[there]] == numbers[there]
        rows = rows[there]
        live = view.live()
        kept: npt.NDArray[np.int64] = (rows if live is None else rows[live[rows]]).astype(np.int64)
        return kept

    def _of(self, pieces: tuple[Piece, ...], pause: Callable[[], None] = lambda: None) -> list[Mapping[Path, Column]]:
        """The columns of pieces, whose fields alone are known from then on."""
        if self._count != len(pieces) or any(piece not in self._columns for piece in pieces):
            self._make(pieces, pause)
        return [self._columns[piece].fields for piece in pieces]

    def _make(self, pieces: tuple[Piece, ...], pause: Callable[[], None]) -> None:
        known = Known()
        kept = [self._columns.get(piece) for piece in pieces]
        for columns in kept:
            if columns is not None:
                known.take(columns)
        # A field that becomes known now has to be so in every piece, in those that once had no room for it, too.
        room = not known.full
        columns_by_piece: WeakKeyDictionary[Piece, Columns] = WeakKeyDictionary()
        for piece, columns in zip(pieces, kept, strict=True):
            if columns is None or (columns.partial and room):
                columns = columns_of(piece.texts[METADATA], known, pause)
            columns_by_piece[piece] = columns
        self._known, self._columns, self._count = known, columns_by_piece, len(pieces)

    def _check(self, test: Test) -> None:
        path = _of_metadata(test.field)
        kinds = {OWN[test.field]} if test.field in OWN else self._known.kinds.get(path)
        if kinds is None:
            raise fault(self._unknown(test.field), test.at)
        for value, at in zip(test.values, test.places, strict=True):
            kind = _kind(value)
            if kind is TRUTH and test.sign in ORDER:
                raise fault("true and false have no order: compare them with = or !=", at)
            if kind not in kinds and not (test.sign == "has" and LISTS + kind in kinds):
                held = ", ".join(sorted(kinds)) or "null alone"
                hint = ": write has" if LISTS + kind in kinds else f", never {kind}"
                raise fault(f"{name_of(test.field)[:100]} holds {held} in this gallery{hint}", at)

    def _unknown(self, path: Path) -> str:
        # What is longer nobody typed: to compare it takes minutes, and to show it all takes megabytes.
        named = map(name_of, (*OWN, *self._known.kinds))
        names = sorted(name for name in named if len(name) <= _LONGEST_NAME)
        near = difflib.get_close_matches(name_of(path)[:_LONGEST_NAME], names, 1)
        hint = f"; did you mean {near[0]}?" if near else f"; there are {', '.join(names[:_SHOWN_FIELDS])}"
        more = " ..." if not near and len(names) > _SHOWN_FIELDS else ""
        full = f". Of metadata, {len(self._known.kinds)} fields are told apart and no more" if self._known.full else ""
        return f"no video has the field {name_of(path)[:100]}{hint}{more}{full}"


def _give_way() -> None:
    """Let other threads run: the interpreter would keep them for milliseconds."""
    time.sleep(0)


def _holds(filter_: Filter, piece: Piece, columns: Mapping[Path, Column]) -> Mask:
    """For which rows of a piece it holds."""
    match filter_:
        case Not(part):
            return ~_holds(part, piece, columns)
        case Every(parts):
            every: Mask = np.logical_and.reduce([_holds(part, piece, columns) for part in parts])
            return every
        case Some(parts):
            some: Mask = np.logical_or.reduce([_holds(part, piece, columns) for part in parts])
            return some
    if filter_.field in OWN:
        return _own(filter_, piece)
    found = np.zeros(len(piece.numbers), np.bool_)
    column = columns.get(_of_metadata(filter_.field))
    if column is None:
        return found
    if filter_.sign in ("exists", "!="):
        found[column.present] = True
    sign = "=" if filter_.sign in ("!=", "has") else filter_.sign
    for values in (column.own, column.listed) if filter_.sign == "has" else (column.own,):
        for rows in _matching(sign, filter_.values, values, column.words):
            found[rows] = filter_.sign != "!="
    return found


def _matching(sign: str, wanted: tuple[Value, ...], values: Values, words: pa.Array) -> list[npt.NDArray[np.int32]]:
    """The rows whose value compares so, of each kind."""
    if sign == "exists":
        return []
    numbers = [value for value in wanted if not isinstance(value, str | bool)]
    texts = [value for value in wanted if _kind(value) is TEXT]
    truths = [value for value in wanted if _kind(value) is TRUTH]
    found = []
    if numbers:
        found.append(values.numbers[0][of_floats(sign, values.numbers[1], numbers)])
        if len(values.integers[0]):
            found.append(values.integers[0][of_integers(sign, values.integers[1], numbers)])
    if texts and len(words):
        found.append(values.texts[0][_of_texts(sign, words, texts)[values.texts[1]]])
    if truths:
        found.append(values.truths[0][np.isin(values.truths[1], truths)])
    return found


def _own(test: Test, piece: Piece) -> Mask:
    """As ``_holds``, for what is no metadata."""
    if test.field in _VALUES:
        values = piece.values[_VALUES[test.field]]
        # What came as features has no duration, and what is not cut no segment.
        there = values > 0 if _VALUES[test.field] == DURATION else piece.values[SEGMENTS] > 1
        if test.sign == "exists":
            return there
        sign = "=" if test.sign in ("!=", "has") else test.sign
        numbers = np.array([value for value in test.values if _kind(value) is NUMBER], np.float32)
        same = of_floats(sign, values, numbers.tolist())
        return there & (~same if test.sign == "!=" else same)
    texts = piece.texts[test.field[0]]
    there = _bools(pc.greater(pc.binary_length(texts), 0))
    if test.sign == "exists":
        return there
    sign = "=" if test.sign in ("!=", "has") else test.sign
    same = _of_texts(sign, texts, [value for value in test.values if _kind(value) is TEXT])
    return there & (~same if test.sign == "!=" else same)


def _of_texts(sign: str, texts: pa.Array, wanted: list[Value]) -> Mask:
    given = pa.array(wanted, texts.type) if sign == "in" else pa.scalar(wanted[0], texts.type)
    return _bools(_TEXTS[sign](texts, given))


def _bools(values: pa.Array) -> Mask:
    return np.asarray(values.to_numpy(zero_copy_only=False) if isinstance(values, pa.Array) else values.to_numpy())


def _of_metadata(path: Path) -> Path:
    return path[1:] if path[0] == METADATA and len(path) > 1 else path


def _kind(value: Value) -> str:
    if isinstance(value, bool):
        return TRUTH
    return TEXT if isinstance(value, str) else NUMBER
