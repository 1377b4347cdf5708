"""From raw text to words: the cleaning and splitting that CLIP's tokenizer does before byte-pair encoding."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator

import ftfy
import regex

from ..checks import check_text_left, check_text_size
from ..errors import InvalidQuery

# ftfy repeats its repairs until nothing changes, once per layer of escaping: &amp;amp;amp;... makes that
# quadratic in the length of what it looks at, 14 s for 64 kB. Longer lines are repaired in pieces of so many
# characters.
_REPAIRED_AT_ONCE = 2048

# No tower reads more than some tens of words, so of a long text only this many characters are cleaned at all.
_READ = 8192
_INVISIBLE = "".join(map(chr, range(33))) + "\x7f"

# ftfy works line by line, at 25 us each: lines that show nothing are dropped before.
_BLANK_LINES = regex.compile(r"\n[\x00-\x20\x7f]*\n")
_SPACE = regex.compile(r"\s+")
_WORD = regex.compile(r"'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+", regex.IGNORECASE)
# The same for lower ASCII, nearly twice as fast.
_ASCII_WORD = re.compile(r"'s|'t|'re|'ve|'m|'ll|'d|[a-z]+|[0-9]|[^\sa-z0-9]+")


def is_cut(text: str) -> bool:
    """Whether a text has more than the 8,192 characters that are cleaned."""
    return len(text) > _READ and len(text.strip(_INVISIBLE)) > _READ


def read_part(text: str) -> str:
    """The text itself; of one of more than 8,192 characters so many, from the first that shows something.

    Raises:
        InvalidQuery: over ``limits.MAX_TEXT_BYTES``.
    """
    check_text_size(len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass")))
    return text if len(text) <= _READ else text.lstrip(_INVISIBLE)[:_READ]


def clean(text: str) -> str:
    """Repair mojibake, resolve HTML entities twice, collapse white space, lower the case.

    Of a text of more than 8,192 characters those are cleaned; what follows is beyond every context length.

    Raises:
        InvalidQuery: over ``limits.MAX_TEXT_BYTES``, nothing left after cleaning, or an unreadable HTML entity.
    """
    text = read_part(text)
    # Nothing of what follows changes plain ASCII, and nearly all texts are: it takes 2 us instead of 60.
    if text.isascii() and text.isprintable() and "&" not in text:
        return _checked(" ".join(text.split()).lower())
    try:
        repaired = ftfy.fix_text(_BLANK_LINES.sub("\n", text), max_decode_length=_REPAIRED_AT_ONCE)
        cleaned = html.unescape(html.unescape(repaired))
    except ValueError as error:
        # Python refuses to read an integer of thousands of digits, which &#999...; asks of it.
        raise InvalidQuery(f"the text holds an HTML entity that can't be resolved: {error}") from error
    return _checked(str(_SPACE.sub(" ", cleaned).strip().lower()))


def _checked(cleaned: str) -> str:
    check_text_left(cleaned)
    return cleaned


def split(cleaned: str) -> Iterator[str]:
    """The words of a cleaned text: runs of letters, single digits, contractions, runs of other symbols.

    The special tokens get no pattern of their own, so a user's literal ``<|endoftext|>`` is three words.
    """
    pattern = _ASCII_WORD if cleaned.isascii() and cleaned.isprintable() else _WORD
    return (match.group() for match in pattern.finditer(cleaned))
