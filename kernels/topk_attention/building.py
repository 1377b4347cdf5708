"""A plan's kernel as machine code for a GPU that needn't be there."""

from __future__ import annotations

from typing import Any

from ..cuda.code import Source, machine_code
from ..device.compiling import words_of
from ..device.tile import BLOCK, GROUP
from .plans import Plan


def build(how: Plan, *, search: bool = False, live: bool = False) -> Any:
    """Compile a plan's kernel, with ``search`` that of a search: a ``triton`` compiled kernel.

    Pointers are declared divisible by 16, without which there are no 16-byte copies: ``launch`` gets the same from the
    addresses of torch's tensors, another caller has to align its own.
    """
    return machine_code(source_of(how, search=search, live=live), how.arch)


def source_of(how: Plan, *, search: bool = False, live: bool = False) -> Source:
    """A plan's kernel as it is compiled."""
    kernel: Any
    if how.tile.ring:
        from .pingpong import pingpong_kernel as kernel
    elif how.tile.kernel == "bulk":
        from .bulk_kernel import bulk_kernel as kernel
    else:
        from .kernel import score_kernel as kernel
    return Source(kernel, dict(how.parameters(search, live)), how.constants(), how.tile.options())


def selecting(kept: int) -> Source:
    """The kernel that selects ``kept`` videos of each query, a power of two up to ``tile.LONGEST``."""
    from ..device.select_kernel import select_kernel

    types = {"SCORES": "*fp32", "LARGEST": "*i32", "V": "i32", "START": "i32", "BEST": "*fp32", "ROWS": "*i32"}
    return Source(select_kernel, types, {"N": kept, "WANTED": kept, "GROUP": GROUP, "BLOCK": BLOCK})


def words(how: Plan, search: bool = False) -> list[str]:
    """Types of the PTX's parameters as ``sass.parameters`` reads them: the plan's, and two pointers of scratch memory.

    A descriptor is an aligned block of bytes, its shape and its strides.
    """
    return words_of(kind for _, kind in how.parameters(search))
