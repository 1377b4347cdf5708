"""A filter's text to its meaning, by recursive descent. ``docs/filters.md`` has the grammar."""

from __future__ import annotations

from functools import lru_cache

from ....export.bundle.limits import MAX_FILTER_DEPTH, MAX_FILTER_TESTS
from ....export.bundle.ports import DURATION, ID, METADATA, SEGMENT, SOURCE
from .grammar import Every, Filter, Not, Path, Some, Test
from .tokens import Token, Value, fault, tokens

_COMPARISONS = ("=", "!=", "<", "<=", ">", ">=")
_OPERATORS = ("keyword", "sign")
# Names that mean something else without ``metadata`` in front of them.
_OWN = frozenset({ID, DURATION, SOURCE, SEGMENT, METADATA})


@lru_cache(256)
def parse(text: str) -> Filter:
    """A filter.

    Raises:
        InvalidRequest: it is none, or too long or deep; the message names the place.
    """
    return _Parser(text).whole()


class _Parser:
    def __init__(self, text: str) -> None:
        self._left = tokens(text)
        self._next = next(self._left)
        self._depth = self._tests = 0

    def whole(self) -> Filter:
        found = self._either()
        if self._next.kind != "end":
            raise self._wanted("and, or, or the end")
        return found

    def _either(self) -> Filter:
        parts = [self._both()]
        while self._took("or"):
            parts.append(self._both())
        return parts[0] if len(parts) == 1 else Some(tuple(parts))

    def _both(self) -> Filter:
        parts = [self._part()]
        while self._took("and"):
            parts.append(self._part())
        return parts[0] if len(parts) == 1 else Every(tuple(parts))

    def _part(self) -> Filter:
        at = self._next.at
        if not ((negated := self._took("not")) or self._took("(")):
            return self._test()
        self._depth += 1
        if self._depth > MAX_FILTER_DEPTH:
            raise fault(f"it is nested more than {MAX_FILTER_DEPTH} deep", at)
        if negated:
            found: Filter = Not(self._part())
        else:
            found = self._either()
            self._take(")")
        self._depth -= 1
        return found

    def _test(self) -> Filter:
        at, field = self._next.at, self._field()
        self._tests += 1
        if self._tests > MAX_FILTER_TESTS:
            raise fault(f"it has more than {MAX_FILTER_TESTS} tests", at)
        if self._took("exists"):
            return Test(field, "exists", (), at, ())
        if self._took("not"):
            self._take("in")
            return Not(self._among(field, at))
        if self._took("in"):
            return self._among(field, at)
        # A text or a name in backquotes may be written as a comparison is.
        sign = self._next.text if self._next.kind in _OPERATORS else ""
        if sign != "has" and sign not in _COMPARISONS:
            raise self._wanted(f"a comparison ({' '.join(_COMPARISONS)}), in, not in, has or exists")
        self._step()
        place, value = self._value()
        return Test(field, sign, (value,), at, (place,))

    def _among(self, field: Path, at: int) -> Test:
        self._take("(")
        pairs = [self._value()]
        while self._took(","):
            pairs.append(self._value())
        self._take(")")
        return Test(field, "in", tuple(value for _, value in pairs), at, tuple(place for place, _ in pairs))

    def _field(self) -> Path:
        names = [self._name()]
        while self._took("."):
            names.append(self._name())
        # Metadata has no name of its own, but for fields that are called like a video's own facts.
        return tuple(names[1:]) if names[0] == METADATA and len(names) > 1 and names[1] not in _OWN else tuple(names)

    def _name(self) -> str:
        if self._next.kind != "name":
            raise self._wanted("a field")
        return self._step().text

    def _value(self) -> tuple[int, Value]:
        if self._next.kind != "value":
            hint = ": put texts in quotes" if self._next.kind == "name" else ""
            raise self._wanted("a text, a number, true or false", hint)
        token = self._step()
        return token.at, token.value

    def _took(self, word: str) -> bool:
        """Whether the next word is this one, which is passed then."""
        there = self._next.kind in _OPERATORS and self._next.text == word
        if there:
            self._step()
        return there

    def _take(self, word: str) -> None:
        if not self._took(word):
            raise self._wanted(repr(word))

    def _step(self) -> Token:
        token, self._next = self._next, next(self._left, self._next)
        return token

    def _wanted(self, what: str, hint: str = "") -> Exception:
        there = repr(self._next.text[:40]) if self._next.kind != "end" else "the end"
        return fault(f"there is {there} where {what} should be{hint}", self._next.at)
