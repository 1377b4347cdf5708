"""A filter's words, and where each begins."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import NamedTuple

from ....export.bundle.checks import check_filter
from ....export.bundle.errors import InvalidRequest

Value = str | float | bool

KEYWORDS = frozenset({"and", "or", "not", "in", "has", "exists", "true", "false"})
_TOKEN = re.compile(
    r"""\s*(?:
      (?P<name>[^\W\d][\w-]*)
    | (?P<number>-?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?(?![\w.]))
    | '(?P<single>(?:[^']|'')*)'
    | "(?P<double>(?:[^"]|"")*)"
    | `(?P<quoted>[^`]+)`
    | (?P<sign><=|>=|!=|[<>=(),.])
    )""",
    re.VERBOSE,
)
_SHOWN = 20
# Up to here every whole number is a float.
EXACT = 1 << 53


class Token(NamedTuple):
    """A word: ``kind`` is name, value, keyword, sign or end, and ``at`` the place of its first character, from 1 on."""

    kind: str
    text: str
    at: int
    value: Value = ""


def tokens(text: str) -> Iterator[Token]:
    """The words of a filter; the last is the end.

    Raises:
        InvalidRequest: it is empty or too long, or holds what is no word.
    """
    check_filter(text)
    place = 0
    while found := _TOKEN.match(text, place):
        place = found.end()
        kind = str(found.lastgroup)
        word, at = found[kind], found.start(kind) + 1
        if kind in ("single", "double"):
            quote = "'" if kind == "single" else '"'
            yield Token("value", word, at - 1, word.replace(2 * quote, quote))
        elif kind == "number":
            if not math.isfinite(value := float(word)):
                raise fault(f"{word[:_SHOWN]} is larger than any number", at)
            yield Token("value", word, at, _exact(word, value))
        elif kind == "name" and word.lower() in KEYWORDS:
            yield _keyword(word, at)
        else:
            yield Token("name", word, at - 1) if kind == "quoted" else Token(kind, word, at)
    if left := text[place:].strip():
        at = text.index(left, place) + 1
        raise fault(f"{left[:_SHOWN]!r} is no word of a filter{_hint(left)}", at)
    yield Token("end", "", len(text) + 1)


def fault(what: str, at: int) -> InvalidRequest:
    """The error that names a place of a filter."""
    return InvalidRequest(f"the filter at character {at}: {what}")


def _exact(word: str, value: float) -> float:
    """A number as a float, or a whole one that no float is as it was written."""
    if abs(value) <= EXACT or not word.lstrip("-").isdecimal() or int(word) == value:
        return value
    return int(word)


def _keyword(word: str, at: int) -> Token:
    lower = word.lower()
    if lower in ("true", "false"):
        return Token("value", word, at, lower == "true")
    return Token("keyword", lower, at)


def _hint(left: str) -> str:
    if left[0] in "'\"`":
        return ": its quote does not end"
    return ": write = for equal" if left.startswith("==") else ""
