"""Feature files that would take gigabytes, or minutes, of a reader that believed them; and the largest right ones."""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from .feature_files import tensors

_CODE_LENGTHS = (16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1)
_UNPACKED = 256 << 20


def bombs() -> dict[str, Callable[[], bytes]]:
    """What makes each, by its name."""
    nines = {"2d": {"dtype": "F32", "shape": [9] * 120_000, "data_offsets": [0, 0]}}
    deep = b'{"2d": ' + b"[" * 200_000
    return {
        "256 MiB of zeros in 260 kB": lambda: packed("2d.npy", zeros(_UNPACKED), _UNPACKED),
        "256 MiB announced, nothing there": lambda: announced(_UNPACKED),
        "64 arrays that lie over one another": lambda: overlapping(64, 4 << 20),
        "as many names as a directory may have": lambda: packed("2d.npy", b"", 0, copies=65_535),
        "a header of 100 MB": lambda: tensors(b'{"2d": [' + b"0," * (50 << 20) + b"0]}", b""),
        "a shape of a hundred thousand sizes": lambda: tensors(nines, b""),
        "a header that is nested without end": lambda: tensors(deep, b""),
        "names without end": lambda: tensors({str(number): {} for number in range(20_000)}, b""),
        "64 arrays of the same bytes": same_bytes,
        "a header of blanks": lambda: archive([("2d.npy", npy(b"{'descr': '<f4'," + b" " * 3900 + b"x"))]),
    }


def largest(dtype: DTypeLike, size: int = _UNPACKED) -> bytes:
    """An array "2d" of so many bytes and six columns, packed, as numpy writes it."""
    rows = size // np.dtype(dtype).itemsize // 6
    stream = io.BytesIO()
    np.savez_compressed(stream, **{"2d": np.ones((rows, 6), dtype), "3d": np.ones((1, 4), np.float32)})
    return stream.getvalue()


def slow(size: int) -> bytes:
    """Deflate's blocks of twelve bytes, each with codes of its own and without any content."""
    return packed("2d.npy", empty_blocks(size), 1 << 20)


def empty_blocks(size: int) -> bytes:
    """About so many bytes of them."""
    bits, count = 0, 0

    def put(value: int, length: int) -> None:
        nonlocal bits, count
        bits |= value << count
        count += length

    lengths = {18: 1, 0: 2, 1: 2}
    for _ in range(8):
        # Not the last block, with codes of its own: 257 literals and one distance, and 18 lengths of the codes' code.
        put(0b100, 3)
        put(0, 10)
        put(len(_CODE_LENGTHS) - 4, 4)
        for symbol in _CODE_LENGTHS:
            put(lengths.get(symbol, 0), 3)
        # 138 and 118 literals that never come, the end, which does, and no distance.
        put((138 - 11) << 1, 8)
        put((118 - 11) << 1, 8)
        put(0b0111, 4)
        put(0, 1)
    block = bits.to_bytes(count // 8, "little")
    return block * (size // len(block))


def archive(members: list[tuple[str, bytes]]) -> bytes:
    """A zip archive, compressed."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in members:
            made.writestr(name, content)
    return stream.getvalue()


def zeros(size: int) -> bytes:
    """So many, packed; the same bytes come again and again, so that to make them takes no time."""
    made = zlib.compressobj(9, wbits=-15)
    first = made.compress(bytes(1 << 20)) + made.flush(zlib.Z_FULL_FLUSH)
    return first * (size >> 20)


def announced(size: int) -> bytes:
    """An archive whose one member is said to have so many bytes, and has ten."""
    return packed("2d.npy", zlib.compress(b"0123456789", wbits=-15), size)


def packed(name: str, content: bytes, size: int, *, copies: int = 1) -> bytes:
    """An archive of deflated bytes that is written by hand, its members all at one place."""
    local = struct.pack("<4s5H3L2H", b"PK\3\4", 20, 0, 8, 0, 0, 0, len(content), size, len(name), 0) + name.encode()
    entry = b"".join(
        struct.pack("<4s6H3L5H2L", b"PK\1\2", 20, 20, 0, 8, 0, 0, 0, len(content), size, len(label), 0, 0, 0, 0, 0, 0)
        + label.encode()
        for label in [name, *(f"{number}" for number in range(1, copies))]
    )
    start = len(local) + len(content)
    return local + content + entry + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, copies, copies, len(entry), start, 0)


def overlapping(copies: int, size: int) -> bytes:
    """Members that are one and the same slow bytes."""
    return packed("2d.npy", empty_blocks(size), size, copies=copies)


def same_bytes() -> bytes:
    """64 tensors that are the same 16 MB."""
    size = 16 << 20
    told: Any = {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}
    return tensors(json.dumps({str(number): told for number in range(64)}).encode(), bytes(size))


def npy(header: bytes, data: bytes = b"") -> bytes:
    """An npy file with this header, whatever it is."""
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data
