"""Texts as UINT8 tensors, in the two forms of the wire.

Rows: one text per row of [B, W], followed by zeros. Joined: all texts one after another in [N], with their
lengths in bytes beside them. Neither uses BYTES tensors: a request can bring the server down through a BYTES output.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from .errors import InvalidInput, InvalidRequest

Bytes = npt.NDArray[np.uint8]
Lengths = npt.NDArray[np.int32]


def pack_rows(texts: Sequence[bytes], width: int | None = None) -> Bytes:
    """Texts as rows uint8 [B, W], padded with zeros; W is ``width``, or the longest text but at least 1."""
    width = max([1, *map(len, texts)]) if width is None else width
    return np.frombuffer(b"".join(text.ljust(width, b"\0") for text in texts), np.uint8).reshape(len(texts), width)


def unpack_row(row: Bytes, what: str) -> str:
    """The text of one row uint8 [W], without its padding. ``what`` names it in messages.

    Raises:
        InvalidRequest: not UTF-8.
    """
    return decode(row.tobytes().rstrip(b"\0"), what)


def pack_joined(texts: Sequence[bytes]) -> tuple[Bytes, Lengths]:
    """Texts as one run of bytes uint8 [N] and their lengths int32 [B]."""
    return np.frombuffer(b"".join(texts), np.uint8), np.array([len(text) for text in texts], np.int32)


def unpack_joined(joined: Bytes, lengths: Lengths, what: str) -> list[str]:
    """The texts of one run of bytes uint8 [N] with lengths int32 [B]; zeros after the last one are padding.

    Raises:
        InvalidRequest: lengths that are negative or don't add up to the bytes, or a text that is not UTF-8.
    """
    if lengths.size and int(lengths.min()) < 0:
        raise InvalidRequest(f"the {what} have a negative length")
    ends = np.cumsum(lengths, dtype=np.int64)
    total = int(ends[-1]) if ends.size else 0
    if total > joined.size or joined[total:].any():
        raise InvalidRequest(f"the {what} have {joined.size} bytes, their lengths add up to {total}")
    raw = joined.tobytes()
    return [decode(raw[end - length : end], what) for end, length in zip(ends.tolist(), lengths.tolist(), strict=True)]


def decode(raw: bytes, what: str, fault: type[InvalidInput] = InvalidRequest) -> str:
    """The text of UTF-8 bytes.

    Raises:
        fault: not UTF-8.
    """
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise fault(f"the {what} is not UTF-8: {error.reason} at byte {error.start}") from error
