"""``attend_kernel`` as PTX that every GPU from compute capability 8.0 on can take, and how it is launched.

The launcher passes the node's five inputs, the numbers of queries and videos as int32 and the two outputs, all
pointers aligned to 16 bytes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Any

from ..device.compiling import compiled as compiled_by_triton
from ..device.limits import check_plain
from ..device.tile import Regime, Tile
from .configs import Storage, tile
from .layout import HeadShape
from .plans import Plan

# Nothing newer is used: matrix instructions of 9.0 and 10.0 are not portable, and what comes with the latter (tensor
# memory) TensorRT doesn't launch.
ARCH = 80
# What CUDA 12.0 reads, so that no driver is too old for a TensorRT that knows these plugins.
PTX_VERSION = 80
# What its tiles are made for: of the GPUs that may run it, those with the least shared memory.
SMALLEST = 86
# For frames in float32. With 4 warps registers are spilled.
SINGLE = Tile(1, 16, 32, 16, 8, 2)
QUERIES: dict[Regime, int] = {"few": 1, "some": 16, "many": 64}
"""Numbers of queries that stand for a regime."""


@dataclass(frozen=True)
class Compiled:
    """Code of one kernel and its launch: one block of ``threads`` threads a tile, on one axis of the grid."""

    name: str
    ptx: str
    threads: int
    shared: int
    """Bytes."""
    tile: tuple[int, int]
    """Queries and videos of one block."""


def portable_plan(shape: HeadShape, storage: Storage, regime: Regime) -> Plan:
    """The plan of the portable kernel; with frames in float32 it is the same for every number of queries."""
    chosen = SINGLE if storage == "float32" else tile(SMALLEST, QUERIES[regime], storage)
    return Plan(shape, storage, ARCH, chosen)


def parameters(how: Plan) -> list[tuple[str, str]]:
    """Names and types of the parameters, in order. Text vectors come in float32 with every number of queries."""
    inputs = [("U", "*fp32"), ("W", "*fp32"), ("TAU", "*fp32"), ("X", f"*{how.stored}"), ("TABLE", "*fp32")]
    return [*inputs, ("Q", "i32"), ("V", "i32"), ("OUT", "*fp32"), ("ATTENTION", "*fp32")]


def constants(how: Plan) -> dict[str, Any]:
    """Values of the kernel's compile-time parameters."""
    from .attend import attend_kernel

    return {name: value for name, value in how.constants().items() if name in attend_kernel.arg_names}


@cache
def compiled(how: Plan) -> Compiled:
    """Compile a plan that ``portable_plan`` made: some 10 to 100 s where the compiler's cache doesn't hold it.

    Raises:
        RuntimeError: the compiler wants something that its launcher would have to provide.
    """
    from triton import knobs  # type: ignore[import-untyped]

    from .attend import attend_kernel

    types = dict(parameters(how))
    options = how.tile.options() | {"ptx_version": PTX_VERSION}
    with knobs.compilation.scope():
        # it would put this machine's paths into the engine
        knobs.compilation.disable_line_info = True
        kernel = compiled_by_triton(attend_kernel, types, constants(how), how.arch, options=options)
    check_plain(kernel)
    wanted = kernel.metadata
    return Compiled(
        name=wanted.name,
        ptx=without_scratch(kernel.asm["ptx"], len(types)),
        threads=how.tile.threads,
        shared=wanted.shared,
        tile=(how.tile.queries, how.tile.videos),
    )


def without_scratch(ptx: str, wanted: int) -> str:
    """``ptx`` without its only kernel's parameters beyond ``wanted``: pointers to scratch memory, which it never reads.

    So it makes no difference whether whoever launches it knows of them.

    Raises:
        RuntimeError: one of them is read.
    """
    start = ptx.index("(", ptx.index(".entry")) + 1
    end = ptx.index(")", start)
    declared = [line.strip() for line in ptx[start:end].split(",")]
    body = ptx[end:]
    for line in declared[wanted:]:
        name = line.split()[-1]
        if re.search(rf"\b{re.escape(name)}\b", body):
            raise RuntimeError(f"the kernel reads its scratch memory: {line}")
    return f"{ptx[:start]}\n\t" + ",\n\t".join(declared[:wanted]) + f"\n{body}"
