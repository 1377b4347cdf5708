"""Whole words as tokens: HowTo100M's way (Miech et al., 2019) from a text to rows of a table of word vectors."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..checks import check_text_left, check_text_size
from ..errors import BundleError
from ..manifest import WORDS_CLEANING, TokenizerProfile
from .bounded_file import read_text
from .rows import check_texts, padded

# Runs of letters, digits, underscores and apostrophes, in any script, in the case in which they are written.
_WORD = re.compile(r"[\w']+")
_LARGEST = 128 << 20


class WordTokenizer:
    """The row of every word that the table has, from 1; a word that it lacks is left out. Row 0 stands for no word."""

    def __init__(self, ids: Mapping[str, int], profile: TokenizerProfile) -> None:
        if profile.cleaning != WORDS_CLEANING:
            raise BundleError(f"the tokenizer's cleaning {profile.cleaning!r} is unknown, known: {WORDS_CLEANING}")
        if profile.buckets != (profile.context_length,) or profile.sliced_from is not None or profile.pad_id != 0:
            raise BundleError("a tokenizer of whole words pads with 0 to one length, and doesn't slice")
        self.profile = profile
        self.vocab_size = 1 + len(ids)
        self._ids = ids

    @staticmethod
    def load(profile: TokenizerProfile, file: Path) -> WordTokenizer:
        """The tokenizer of a file of words, plain or gzipped.

        Raises:
            BundleError: it can't be read, or the profile asks for what doesn't exist.
        """
        return WordTokenizer(read_words(file), profile)

    def encode(self, texts: Sequence[str]) -> npt.NDArray[np.int64]:
        """Rows int64 [Q, W] of Q texts. Words beyond the first W that are known are left out.

        A text without any known word is all zeros, which the authors embed as well.

        Raises:
            InvalidQuery: no texts, or one that is too long or empty.
        """
        check_texts(texts)
        return padded([list(islice(self._all_ids(text), self.profile.context_length)) for text in texts], self.profile)

    def cuts(self, text: str) -> bool:
        """Whether a text has more known words than are read of it. Costs as much as encoding it."""
        return next(islice(self._all_ids(text), self.profile.context_length, None), None) is not None

    def _all_ids(self, text: str) -> Iterator[int]:
        check_text_size(len(text.encode("utf-8", "surrogatepass")))
        check_text_left(text)
        return (self._ids[word] for word in _WORD.findall(text) if word in self._ids)


def read_words(path: Path) -> dict[str, int]:
    """The words of a file, one a line, and their rows from 1.

    Raises:
        BundleError: unreadable, empty, larger than any vocabulary, or with a word that is there twice.
    """
    lines = read_text(path, "the word list", _LARGEST).removesuffix("\n").split("\n")
    ids = {word: number for number, word in enumerate(lines, start=1)}
    if len(ids) < len(lines) or "" in ids:
        raise BundleError(f"the words {path} are damaged: a line is empty or there twice")
    return ids
