"""Joiners and non-joiners in a text that are seen: in an emoji of several, and where they change how letters are drawn.

Unicode's rules by context for identifiers: Annex 31, "Layout and Format Control Characters", and RFC 5892, appendix A.
Anywhere else they are drawn as nothing.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import cache

_NON_JOINER, _JOINER = "\u200c", "\u200d"
# The combining class of signs that take a consonant's vowel away, in scripts of India and beyond.
_VIRAMA = 9
# Symbols of which emoji are made; no colour of skin begins one.
_PICTURE = "[\u2194\u2195\u2600-\u27bf\u2b00-\u2bff\U0001f300-\U0001faff]"
_OF_PICTURES = re.compile(
    f"(?:(?<={_PICTURE})|(?<={_PICTURE}\ufe0f)){_JOINER}(?![\U0001f3fb-\U0001f3ff])(?={_PICTURE})"
)
# Unicode's blocks of Arabic letters by their places in a word: Python does not know the property Joining_Type.
_ARABIC_FORMS = range(0xFB50, 0xFF00)


def seen_joiners(text: str) -> frozenset[int]:
    """The places of those joiners and non-joiners."""
    found = {match.start() for match in _OF_PICTURES.finditer(text)}
    found.update(place for place, each in enumerate(text) if each in (_NON_JOINER, _JOINER) and _shapes(text, place))
    return frozenset(found)


def _shapes(text: str, place: int) -> bool:
    """Whether letters beside it are drawn otherwise without it."""
    before, after = text[:place], text[place + 1 :]
    if before and unicodedata.combining(before[-1]) == _VIRAMA and after[:1].isalpha():
        return True
    # Letters that would join here.
    joins = _base(reversed(before)) in _letters("<initial>") and _base(after) in _letters("<final>")
    return text[place] == _NON_JOINER and joins


def _base(text: Iterable[str]) -> str:
    """The first character that is no mark on another."""
    return next((each for each in text if not unicodedata.combining(each)), "")


@cache
def _letters(form: str) -> frozenset[str]:
    """Arabic letters that have such a form: an initial one joins what follows, a final one what is before it."""
    shapes = (unicodedata.decomposition(chr(code)).split() for code in _ARABIC_FORMS)
    return frozenset(chr(int(shape[1], 16)) for shape in shapes if shape[:1] == [form] and len(shape) == 2)
