"""CLIP's tokenizer: from texts to the token ids that a text tower reads."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import chain, islice
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..errors import BundleError
from ..manifest import CLIP_CLEANING, TokenizerProfile
from .bpe import BYTE_SYMBOLS, END_OF_WORD, Merge, merge, spell
from .cleaning import clean, is_cut, split
from .merges_file import read_merges
from .rows import check_buckets, check_texts, padded

_CACHED_WORDS = 1 << 14
_LONGEST_CACHED = 64

_log = logging.getLogger(__name__)


class ClipTokenizer:
    """Byte-level BPE as CLIP uses it; safe to share between threads.

    The vocabulary is the 256 byte symbols, the same with the end of a word, one token per merge, start, end.
    ``end_id`` is the largest id: the text towers find the sentence's position by argmax.

    The ids are those of OpenAI's tokenizer with one difference: a literal ``<|endoftext|>`` in a user's text is encoded
    as the characters it is made of and never becomes the special token.
    """

    def __init__(self, merges: Sequence[Merge], profile: TokenizerProfile) -> None:
        if profile.cleaning != CLIP_CLEANING:
            raise BundleError(f"the tokenizer's cleaning {profile.cleaning!r} is unknown, known: {CLIP_CLEANING}")
        check_buckets(profile)
        if profile.sliced_from is not None and profile.sliced_from < profile.context_length:
            raise BundleError(
                f"the tokenizer can't slice {profile.context_length} positions from {profile.sliced_from}"
            )
        base = list(BYTE_SYMBOLS.values())
        tokens = base + [symbol + END_OF_WORD for symbol in base] + [left + right for left, right in merges]
        self.profile = profile
        self.start_id = len(tokens)
        self.end_id = len(tokens) + 1
        self.vocab_size = len(tokens) + 2
        if not 0 <= profile.pad_id < self.vocab_size:
            raise BundleError(f"the tokenizer's pad id {profile.pad_id} is not below {self.vocab_size}")
        self._ids = {token: place for place, token in enumerate(tokens)}
        self._ranks = {pair: rank for rank, pair in enumerate(merges)}
        self._cached = lru_cache(_CACHED_WORDS)(self._encode_word)

    @staticmethod
    def load(profile: TokenizerProfile, file: Path) -> ClipTokenizer:
        """The tokenizer of a merges file, plain or gzipped.

        Raises:
            BundleError: it can't be read, or the profile asks for what doesn't exist.
        """
        return ClipTokenizer(read_merges(file), profile)

    def encode(self, texts: Sequence[str]) -> npt.NDArray[np.int64]:
        """Token ids int64 [Q, W] of Q texts, each from start to end token and padded with ``profile.pad_id``.

        W is the smallest bucket that holds the longest text. A text of more than ``profile.context_length`` tokens is
        cut and its last id is the end token, as CLIP does; but where the profile slices, it has no end token unless it
        would have one there uncut, and a warning is logged.

        Raises:
            InvalidQuery: no texts, or one that is too long or of which nothing is left after cleaning.
        """
        check_texts(texts)
        rows = [self._encode_text(text) for text in texts]
        endless = sum(row[-1] != self.end_id for row in rows)
        if endless:
            _log.warning(
                "%d of %d texts are longer than %d tokens and lose their end token, as in the authors' code: a model "
                "that reads a text at its end token can't tell them apart, and one that reads all positions misses it",
                endless,
                len(rows),
                self.profile.context_length - 2,
            )
        return padded(rows, self.profile)

    def cuts(self, text: str) -> bool:
        """Whether a text is longer than what is read of it. Costs as much as encoding it."""
        # Between its start and its end token.
        room = self.profile.context_length - 2
        return is_cut(text) or next(islice(self._all_ids(text), room, None), None) is not None

    def _all_ids(self, text: str) -> Iterator[int]:
        return chain.from_iterable(map(self._word_ids, split(clean(text))))

    def _encode_text(self, text: str) -> list[int]:
        ids = self._all_ids(text)
        positions = self.profile.sliced_from or self.profile.context_length
        # Words past the cut are never encoded.
        return [self.start_id, *islice(ids, positions - 2), self.end_id][: self.profile.context_length]

    def _word_ids(self, word: str) -> tuple[int, ...]:
        return self._cached(word) if len(word) <= _LONGEST_CACHED else self._encode_word(word)

    def _encode_word(self, word: str) -> tuple[int, ...]:
        return tuple(self._ids[token] for token in merge(spell(word), self._ranks))
