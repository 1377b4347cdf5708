"""BERT's tokenizer (Devlin et al., 2019): from texts to the ids of word pieces."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import chain, islice
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..checks import check_text_left
from ..errors import BundleError
from ..manifest import BERT_CLEANING, SENTENCE_CLEANING, TokenizerProfile
from .cleaning import is_cut
from .rows import check_buckets, check_texts, padded
from .vocab_file import END, PADDING, START, UNKNOWN, read_vocab
from .word_splitting import with_full_stop, words

# A longer word is unknown whatever is in it.
_LONGEST_WORD = 100
_INSIDE = "##"
_CACHED_WORDS = 1 << 14
# By the cleaning's name, what is done to a text before it is split into words.
_PREPARED: Mapping[str, Callable[[str], str]] = {BERT_CLEANING: str, SENTENCE_CLEANING: with_full_stop}


class WordPieceTokenizer:
    """Greedy longest pieces of each word, from ``[CLS]`` to ``[SEP]``; safe to share between threads.

    The ids are those of the authors' tokenizer with one difference: a literal ``[SEP]`` in a user's text is encoded as
    the characters it is made of and never becomes the special token.
    """

    def __init__(self, ids: Mapping[str, int], profile: TokenizerProfile) -> None:
        if profile.cleaning not in _PREPARED:
            raise BundleError(
                f"the tokenizer's cleaning {profile.cleaning!r} is unknown, known: {', '.join(sorted(_PREPARED))}"
            )
        check_buckets(profile)
        if profile.sliced_from is not None:
            raise BundleError("a tokenizer of word pieces doesn't slice: it always keeps the end token")
        if profile.pad_id != ids[PADDING]:
            raise BundleError(
                f"the tokenizer's pad id is {profile.pad_id}, the vocabulary's {PADDING} is {ids[PADDING]}"
            )
        self.profile = profile
        self.start_id, self.end_id = ids[START], ids[END]
        self.vocab_size = len(ids)
        self._ids, self._unknown = ids, ids[UNKNOWN]
        self._prepared = _PREPARED[profile.cleaning]
        # No longer piece has to be tried.
        self._longest = max(map(len, ids))
        self._cached = lru_cache(_CACHED_WORDS)(self._encode_word)

    @staticmethod
    def load(profile: TokenizerProfile, file: Path) -> WordPieceTokenizer:
        """The tokenizer of a vocabulary file, plain or gzipped.

        Raises:
            BundleError: it can't be read, or the profile asks for what doesn't exist.
        """
        return WordPieceTokenizer(read_vocab(file), profile)

    def encode(self, texts: Sequence[str]) -> npt.NDArray[np.int64]:
        """Token ids int64 [Q, W] of Q texts, each from start to end token and padded with ``profile.pad_id``.

        W is the smallest bucket that holds the longest text. A text of more than ``profile.context_length`` tokens is
        cut, and its last id is the end token.

        Raises:
            InvalidQuery: no texts, or one that is too long or of which nothing is left after cleaning.
        """
        check_texts(texts)
        return padded([self._encode_text(text) for text in texts], self.profile)

    def cuts(self, text: str) -> bool:
        """Whether a text is longer than what is read of it. Costs as much as encoding it."""
        # Between its start and its end token.
        room = self.profile.context_length - 2
        return is_cut(text) or next(islice(self._all_ids(text), room, None), None) is not None

    def _all_ids(self, text: str) -> Iterator[int]:
        return chain.from_iterable(map(self._word_ids, words(self._prepared(text))))

    def _encode_text(self, text: str) -> list[int]:
        # Words past the cut are never encoded.
        ids = list(islice(self._all_ids(text), self.profile.context_length - 2))
        check_text_left("ids" if ids else "")
        return [self.start_id, *ids, self.end_id]

    def _word_ids(self, word: str) -> tuple[int, ...]:
        return self._cached(word) if len(word) <= _LONGEST_WORD else (self._unknown,)

    def _encode_word(self, word: str) -> tuple[int, ...]:
        found: list[int] = []
        start = 0
        while start < len(word):
            mark = _INSIDE if start else ""
            for end in range(min(len(word), start + self._longest), start, -1):
                piece = self._ids.get(mark + word[start:end])
                if piece is not None:
                    break
            else:
                return (self._unknown,)
            found.append(piece)
            start = end
        return tuple(found)
