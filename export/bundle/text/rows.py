"""What every tokenizer asks of its texts, and how their tokens become one array."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ..errors import BundleError, InvalidQuery
from ..manifest import TokenizerProfile


def check_texts(texts: Sequence[str]) -> None:
    """Refuse what is no list of texts.

    Raises:
        InvalidQuery: one text by itself, or none.
    """
    if isinstance(texts, str) or not texts:
        raise InvalidQuery("encode takes a list of at least one text")


def check_buckets(profile: TokenizerProfile) -> None:
    """Refuse lengths of which none holds the longest text, or none a token between start and end.

    Raises:
        BundleError: the profile has such lengths.
    """
    if profile.context_length < 3 or max(profile.buckets, default=0) != profile.context_length:
        raise BundleError(
            f"the tokenizer's largest bucket must be its context length of at least 3, "
            f"got buckets {profile.buckets} and context length {profile.context_length}"
        )


def padded(rows: Sequence[Sequence[int]], profile: TokenizerProfile) -> npt.NDArray[np.int64]:
    """Token ids int64 [Q, W] of Q texts, padded with ``profile.pad_id`` to the smallest bucket that holds them all."""
    longest = max(map(len, rows))
    width = min(bucket for bucket in profile.buckets if bucket >= longest)
    ids = np.full((len(rows), width), profile.pad_id, dtype=np.int64)
    for row, found in zip(ids, rows, strict=True):
        row[: len(found)] = found
    return ids
