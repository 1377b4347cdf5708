"""The tokenizers by kind, and the one way to load them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from ..errors import BundleError
from ..manifest import BERT_CLEANING, CLIP_CLEANING, WORDS_CLEANING, TokenizerProfile


class Tokenizer(Protocol):
    """From texts to the token ids that a text tower reads; safe to share between threads."""

    profile: TokenizerProfile
    vocab_size: int

    def encode(self, texts: Sequence[str]) -> npt.NDArray[np.int64]:
        """Token ids int64 [Q, W] of Q texts, padded with ``profile.pad_id`` to the smallest bucket that holds them all.

        Raises:
            InvalidQuery: no texts, or one that is too long or of which nothing is left after cleaning.
        """
        ...

    def cuts(self, text: str) -> bool:
        """Whether a text is longer than what is read of it. Costs as much as encoding it."""
        ...


@dataclass(frozen=True)
class TokenizerKind:
    """One way from texts to token ids.

    Attributes:
        load: the tokenizer of a profile and its vocabulary's file.
        file: what a bundle calls the vocabulary's file; gzipped, it ends in .gz.
        cleaning: what it does to a text before it reads it, as a manifest names it, where a system says nothing else.
        shipped: the vocabulary that comes with framesift, for models that have none of their own.
        beside: whether authors leave a vocabulary of that name beside their checkpoint.
        bring: what to pass where a model's vocabulary is another one.
    """

    load: Callable[[TokenizerProfile, Path], Tokenizer]
    file: str
    cleaning: str
    shipped: Callable[[], Path]
    beside: bool
    bring: str


def load_tokenizer(profile: TokenizerProfile, folder: Path) -> Tokenizer:
    """The tokenizer of a profile, whose vocabulary lies in ``folder``.

    Raises:
        BundleError: a kind that is not known, not one file, one that can't be read, or a profile that asks for what
            doesn't exist.
    """
    if profile.kind not in TOKENIZERS:
        raise BundleError(f"the tokenizer {profile.kind!r} is unknown, known: {', '.join(sorted(TOKENIZERS))}")
    if len(profile.files) != 1:
        raise BundleError(f"a tokenizer reads one file, its profile lists {list(profile.files)}")
    return TOKENIZERS[profile.kind].load(profile, folder / profile.files[0])


# What cleans texts is installed with the server and the exporter, and loaded by those that need it.
def _clip_bpe(profile: TokenizerProfile, file: Path) -> Tokenizer:
    from .clip_bpe import ClipTokenizer

    return ClipTokenizer.load(profile, file)


def _clip_merges() -> Path:
    from .merges_file import clip_merges

    return clip_merges()


def _wordpiece(profile: TokenizerProfile, file: Path) -> Tokenizer:
    from .wordpiece import WordPieceTokenizer

    return WordPieceTokenizer.load(profile, file)


def _uncased_vocab() -> Path:
    from .vocab_file import uncased_vocab

    return uncased_vocab()


def _words(profile: TokenizerProfile, file: Path) -> Tokenizer:
    from .words import WordTokenizer

    return WordTokenizer.load(profile, file)


def _no_words() -> Path:
    raise BundleError("framesift comes with no word vectors: pass those that the model was trained with (--vocab)")


TOKENIZERS: Mapping[str, TokenizerKind] = {
    "clip_bpe": TokenizerKind(
        _clip_bpe,
        "merges.txt",
        CLIP_CLEANING,
        _clip_merges,
        beside=False,
        bring="pass the merges file that it was trained with (--merges)",
    ),
    "wordpiece": TokenizerKind(
        _wordpiece,
        "vocab.txt",
        BERT_CLEANING,
        _uncased_vocab,
        beside=True,
        bring="put the vocab.txt that it was trained with beside it, or pass it (--vocab)",
    ),
    "words": TokenizerKind(
        _words,
        "words.txt",
        WORDS_CLEANING,
        _no_words,
        beside=False,
        bring="pass the word vectors that it was trained with (--vocab)",
    ),
}
