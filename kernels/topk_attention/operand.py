"""Stored frame vectors as operands of the products: bytes to float16, exactly. See ``kernel``."""

from __future__ import annotations

# mypy: ignore-errors
import triton
import triton.language as tl

_INTERPRETED = tl.constexpr(triton.knobs.runtime.interpret)
# Bytes b + 128 beside 0x64 are the float16 numbers 1024 + 128 + b: four of them take five instructions, all of full
# rate, where a conversion of integers takes a slow one for each.
_BYTES = tl.constexpr(
    "{ .reg .b32 t, m; mov.b32 m, 0x64806480; xor.b32 t, $2, 0x80808080;"
    " prmt.b32 $0, t, 0x64646464, 0x4140; prmt.b32 $1, t, 0x64646464, 0x4342;"
    " sub.f16x2 $0, $0, m; sub.f16x2 $1, $1, m; }"
)


@triton.jit
def operand(x, DOT: tl.constexpr):
    """``x`` in the products' dtype. Bytes of e4m3 (uint8) become 2^-8 of their value."""
    if x.dtype == tl.int8:
        if _INTERPRETED:
            biased = (x.to(tl.uint8, bitcast=True) ^ 0x80).to(tl.uint16)
            x = (biased | 0x6400).to(tl.float16, bitcast=True) - 1152.0
        else:
            x = tl.inline_asm_elementwise(_BYTES, "=r,=r,r", [x], dtype=tl.float16, is_pure=True, pack=4)
    elif x.dtype == tl.uint8:
        bits = x.to(tl.int16)
        x = (((bits & 0x80) << 8) | ((bits & 0x7F) << 7)).to(tl.float16, bitcast=True)
    return x.to(DOT)
