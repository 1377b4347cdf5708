"""A plan's kernel as machine code for a GPU that needn't be there."""

from __future__ import annotations

import re
from typing import Any

from .plans import Plan

_BOX = re.compile(r"tensordesc<\w+\[([\d, ]+)\]")


def build(how: Plan, *, search: bool = False, live: bool = False) -> Any:
    """Compile a plan's kernel, with ``search`` that of a search: a ``triton`` compiled kernel.

    Pointers are declared divisible by 16, without which there are no 16-byte copies: ``launch`` gets the same from the
    addresses of torch's tensors, another caller has to align its own.
    """
    kernel: Any
    if how.tile.kernel == "pingpong":
        from .pingpong import pingpong_kernel as kernel
    elif how.tile.kernel == "bulk":
        from .bulk_kernel import bulk_kernel as kernel
    else:
        from .kernel import score_kernel as kernel
    return _compiled(kernel, dict(how.parameters(search, live)), how.constants(), how.arch, options=how.options())


def build_others(arch: int, kept: int, width: int) -> dict[str, Any]:
    """The kernels before and behind a search's scores, by name: text is packed, and ``kept`` videos are selected."""
    import triton  # type: ignore[import-untyped]

    from .launch import BLOCK
    from .plans import GROUP
    from .select_kernel import select_kernel
    from .text import pack_kernel

    selected = {"SCORES": "*fp32", "LARGEST": "*i32", "V": "i32", "START": "i32", "BEST": "*fp32", "ROWS": "*i32"}
    packed = {"U": "*fp32", "W": "*fp32", "PACKED_U": "*fp16", "PACKED_W": "*fp16", "Q": "i32"}
    return {
        "select": _compiled(select_kernel, selected, {"N": kept, "WANTED": kept, "GROUP": GROUP, "BLOCK": BLOCK}, arch),
        "pack": _compiled(pack_kernel, packed, {"D": width, "BLOCK": triton.next_power_of_2(width)}, arch),
    }


def _compiled(kernel: Any, types: dict[str, str], constants: dict[str, Any], arch: int, *, options: Any = None) -> Any:
    import triton
    from triton.backends.compiler import GPUTarget  # type: ignore[import-untyped]
    from triton.compiler import ASTSource  # type: ignore[import-untyped]

    ast = ASTSource
    if kernel.is_gluon():
        from triton.experimental.gluon._runtime import GluonASTSource  # type: ignore[import-untyped]

        ast = GluonASTSource
    names = kernel.arg_names
    made = ast(
        fn=kernel,
        signature={name: types.get(name, "constexpr") for name in names},
        constexprs={name: constants.get(name) for name in names if name not in types},
        attrs={(i,): [["tt.divisibility", 16]] for i, name in enumerate(names) if types.get(name, "").startswith("*")},
    )
    return triton.compile(made, target=GPUTarget("cuda", arch, 32), options=options or {})


def words(how: Plan, search: bool = False) -> list[str]:
    """Types of the PTX's parameters as ``sass.parameters`` reads them: the plan's, and two pointers of scratch memory.

    A descriptor is an aligned block of bytes, its shape and its strides.
    """
    found = []
    for _, kind in how.parameters(search):
        if box := _BOX.match(kind):
            rank = box[1].count(",") + 1
            found += ["align", *["u32"] * rank, *["u64"] * rank]
        else:
            found.append({"i32": "u32"}.get(kind, "u64"))
    return [*found, "u64", "u64"]
