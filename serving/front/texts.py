"""Texts in a request's tensors, and their token ids."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from ...export.bundle.checks import check_top
from ...export.bundle.errors import InvalidQuery, InvalidRequest
from ...export.bundle.packing import decode
from ...export.bundle.ports import TEXT, TEXT_LENGTH, TOP
from ...export.bundle.text.tokenizers import Tokenizer

# So many characters are encoded on the event loop, where the worst take a few milliseconds. Of longer texts the worst
# take a hundred: they go to a thread of their own, so that nobody waits for them.
_AT_ONCE = 512


def read_texts(raw: Mapping[str, bytes], shape: Sequence[int]) -> list[str]:
    """The texts of a request.

    Args:
        raw: its tensors, ``text`` uint8 [B, N] and ``text_length`` int32 [B, 1] among them.
        shape: of ``text``.

    Raises:
        InvalidRequest: lengths that are negative or beyond the row.
        InvalidQuery: a text that is not UTF-8.
    """
    rows, width = shape
    text = raw[TEXT]
    lengths = np.frombuffer(raw[TEXT_LENGTH], "<i4").tolist()
    if rows != len(lengths) or any(not 0 <= length <= width for length in lengths):
        raise InvalidRequest(f"{TEXT_LENGTH} must give for each of {rows} texts at most {width} bytes")
    return [decode(text[row * width : row * width + length], TEXT, InvalidQuery) for row, length in enumerate(lengths)]


def read_top(raw: bytes) -> int:
    """The number of hits that all texts of a search ask for.

    Raises:
        InvalidRequest: different numbers, or out of range.
    """
    tops = set(np.frombuffer(raw, "<i4").tolist())
    if len(tops) != 1:
        raise InvalidRequest(f"all texts of a request must ask for the same {TOP}, got {sorted(tops)}")
    return check_top(tops.pop())


class Encoder:
    """Encodes texts without holding up the event loop."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="tokenizer")

    async def encode(self, texts: list[str]) -> npt.NDArray[np.int64]:
        """Token ids int64 [B, W].

        Raises:
            InvalidQuery: a text that can't be encoded.
        """
        if sum(map(len, texts)) <= _AT_ONCE:
            return self._tokenizer.encode(texts)
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._tokenizer.encode, texts)

    async def cut(self, texts: list[str], ids: npt.NDArray[np.int64]) -> list[int]:
        """The rows of texts that are longer than what is read of them.

        Args:
            ids: what ``encode`` returned.
        """
        # Only these can be: few, and rare, so they may be read twice.
        full = ids.shape[1] >= self._tokenizer.profile.context_length
        long = [(row, text) for row, text in enumerate(texts) if full or len(text) > _AT_ONCE]
        if not long:
            return []
        cuts = self._tokenizer.cuts
        return await asyncio.get_running_loop().run_in_executor(
            self._thread, lambda: [row for row, text in long if cuts(text)]
        )
