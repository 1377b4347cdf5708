"""From raw text to words as BERT's authors split it, before any word is cut into pieces (Devlin et al., 2019)."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from functools import lru_cache

from .cleaning import read_part

# Blanks are put around Chinese characters, which are written without any: the authors' blocks of Unicode.
_IDEOGRAPHS = (
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B820, 0x2CEAF),
    (0x2F800, 0x2FA1F),
)
_REPLACEMENT = "\ufffd"


def words(text: str) -> Iterator[str]:
    """The words of a text, small letters without accents; every punctuation mark is a word.

    Raises:
        InvalidQuery: over ``limits.MAX_TEXT_BYTES``.
    """
    cleaned = "".join(map(_cleaned, read_part(text)))
    for word in unicodedata.normalize("NFC", cleaned).split():
        yield from _at_punctuation(_plain(word)).split()


def with_full_stop(text: str) -> str:
    """The text with single blanks between its words and a full stop, unless it ends in a mark that ends a sentence."""
    joined = " ".join(read_part(text).split())
    return joined if not joined or joined[-1] in ".?!" else f"{joined}."


def _plain(word: str) -> str:
    """Small letters, and of letters with accents the letters."""
    return "".join(sign for sign in unicodedata.normalize("NFD", word.lower()) if unicodedata.category(sign) != "Mn")


def _at_punctuation(word: str) -> str:
    return "".join(f" {sign} " if _is_punctuation(sign) else sign for sign in word)


@lru_cache(1 << 14)
def _cleaned(sign: str) -> str:
    """What stands for one character: nothing for control characters, a blank for white space."""
    category = unicodedata.category(sign)
    if sign in "\t\n\r" or category == "Zs":
        return " "
    if sign == _REPLACEMENT or category.startswith("C"):
        return ""
    return f" {sign} " if any(first <= ord(sign) <= last for first, last in _IDEOGRAPHS) else sign


@lru_cache(1 << 14)
def _is_punctuation(sign: str) -> bool:
    # All of ASCII's symbols count, those that Unicode doesn't call punctuation among them.
    return (sign.isascii() and sign.isprintable() and not sign.isalnum() and sign != " ") or unicodedata.category(
        sign
    ).startswith("P")
