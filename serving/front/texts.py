"""Texts in a request's tensors, and their token ids."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from ...export.bundle.checks import check_id, check_top
from ...export.bundle.errors import InvalidQuery, InvalidRequest
from ...export.bundle.limits import MAX_CANDIDATES
from ...export.bundle.packing import decode, pack_joined, unpack_joined
from ...export.bundle.ports import CANDIDATE_LENGTHS, CANDIDATES, TEXT, TEXT_LENGTH, TOP
from ...export.bundle.text.tokenizers import Tokenizer
from .upstream import Tensor

# So many characters are encoded on the event loop, where the worst take a few milliseconds. Of longer texts the worst
# take a hundred: they go to a thread of their own, so that nobody waits for them.
_AT_ONCE = 512
# So many bytes of candidates' ids take a millisecond or two.
_IDS_AT_ONCE = 16 << 10


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


def read_candidates(raw: Mapping[str, bytes], rows: int) -> tuple[str, ...]:
    """The ids of the videos that all texts of a search are for; none where it names none.

    Args:
        raw: its tensors; ``candidates`` uint8 [B, N] and ``candidate_lengths`` int32 [B, M] may be among them.
        rows: B.

    Raises:
        InvalidRequest: ids that can't be, too many, or other ones for each text.
    """
    if CANDIDATES not in raw:
        return ()
    joined = np.frombuffer(raw[CANDIDATES], np.uint8).reshape(rows, -1)
    lengths = np.frombuffer(raw[CANDIDATE_LENGTHS], "<i4").reshape(rows, -1)
    if (joined != joined[:1]).any() or (lengths != lengths[:1]).any():
        raise InvalidRequest("all texts of a request must have the same candidates")
    if not 1 <= lengths.shape[1] <= MAX_CANDIDATES:
        raise InvalidRequest(
            f"the search names {lengths.shape[1]} candidates, the limit is {MAX_CANDIDATES}: name 1 or more, or leave "
            f"{CANDIDATES} and {CANDIDATE_LENGTHS} out"
        )
    return tuple(map(check_id, unpack_joined(joined[0], lengths[0], CANDIDATES)))


def candidate_tensors(ids: Sequence[str], rows: int) -> list[Tensor]:
    """The tensors that name the candidates of ``rows`` texts upstream; of none a single one without bytes."""
    joined, lengths = pack_joined([id_.encode() for id_ in ids])
    if not ids:
        joined, lengths = np.zeros(1, np.uint8), np.zeros(1, np.int32)
    return [
        Tensor(CANDIDATES, "UINT8", (rows, len(joined)), joined.tobytes() * rows),
        Tensor(CANDIDATE_LENGTHS, "INT32", (rows, len(lengths)), lengths.astype("<i4").tobytes() * rows),
    ]


class Encoder:
    """Reads texts and ids without holding up the event loop."""

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

    async def candidates(self, raw: Mapping[str, bytes], rows: int) -> tuple[str, ...]:
        """As ``read_candidates``."""
        if len(raw.get(CANDIDATES, b"")) <= _IDS_AT_ONCE:
            return read_candidates(raw, rows)
        return await asyncio.get_running_loop().run_in_executor(self._thread, read_candidates, raw, rows)

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
        if sum(len(text) for _, text in long) <= _AT_ONCE:
            return self._cut(long)
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._cut, long)

    def _cut(self, texts: Sequence[tuple[int, str]]) -> list[int]:
        return [row for row, text in texts if self._tokenizer.cuts(text)]
