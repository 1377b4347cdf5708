"""Text vectors as the Triton kernels read them. Letters in shapes: ``layout``."""

from __future__ import annotations

import torch
import triton  # type: ignore[import-untyped]
import triton.language as tl  # type: ignore[import-untyped]
from torch import Tensor

from .plans import Plan

_TYPES = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}
# Both parts of an int8 text vector's component are within int8 up to this.
_LARGEST = 127 * 257


@triton.jit(do_not_specialize=["Q"])  # type: ignore[untyped-decorator, unused-ignore]
def pack_kernel(U, W, PACKED_U, PACKED_W, Q, D: tl.constexpr, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    """PACKED_U and PACKED_W [16 ceil(Q / 8), D] of float32 U and W [Q, D]; a program a row.

    Of 16 rows the first 8 are the vectors of 8 queries, rounded, the others what rounding cut off. Rows past Q are 0.
    """
    packed = tl.program_id(0)
    query = packed // 16 * 8 + packed % 8
    low = packed // 8 % 2 == 1
    k = tl.arange(0, BLOCK)
    inside = k < tl.where(query < Q, D, 0)
    for which in tl.static_range(2):
        source = U if which == 0 else W
        target = PACKED_U if which == 0 else PACKED_W
        x = tl.load(source + query.to(tl.int64) * D + k, mask=inside, other=0.0).to(tl.float32)
        high = x.to(target.dtype.element_ty)
        x = tl.where(low, (x - high.to(tl.float32)).to(target.dtype.element_ty), high)
        tl.store(target + packed.to(tl.int64) * D + k, x, mask=k < D)


def prepared(how: Plan, u: Tensor, w: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
    """U and W of ``u`` and ``w`` [Q, D], and UNITS where the plan's kernel multiplies int8 parts."""
    if how.parted:
        (upper_u, unit_u), (upper_w, unit_w) = parts(u), parts(w)
        return upper_u, upper_w, torch.stack((unit_u, unit_w), 1)
    text = _TYPES[how.text]
    if how.tile.parts == 1:
        return u.to(text).contiguous(), w.to(text).contiguous(), None
    queries, width = u.shape
    rows = 16 * -(-queries // 8)
    packed = [torch.empty(rows, width, dtype=text, device=u.device) for _ in range(2)]
    pack_kernel[(rows,)](u.contiguous(), w.contiguous(), *packed, queries, width, triton.next_power_of_2(width))
    return packed[0], packed[1], None


def parts(vectors: Tensor) -> tuple[Tensor, Tensor]:
    """int8 [Q, 2 D], all upper parts before all lower ones, and float32 units [Q] of float ``vectors`` [Q, D].

    A component is (256 * upper + lower) units, which is within 1/65,278 of the row's largest one.
    """
    units = vectors.abs().amax(1).clamp_min(torch.finfo(torch.float32).tiny * _LARGEST).float() / _LARGEST
    whole = (vectors / units[:, None]).round().to(torch.int32)
    upper = (whole + 128) >> 8
    return torch.cat((upper, whole - 256 * upper), 1).to(torch.int8), units
