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
    import triton  # type: ignore[import-untyped]
    from triton.backends.compiler import GPUTarget  # type: ignore[import-untyped]
    from triton.compiler import ASTSource  # type: ignore[import-untyped]

    kernel: Any
    ast = ASTSource
    if how.tile.kernel == "pingpong":
        from triton.experimental.gluon._runtime import GluonASTSource  # type: ignore[import-untyped]

        from .pingpong import pingpong_kernel as kernel

        ast = GluonASTSource
    elif how.tile.kernel == "bulk":
        from .bulk_kernel import bulk_kernel as kernel
    else:
        from .kernel import score_kernel as kernel
    types, constants = dict(how.parameters(search, live)), how.constants()
    names = kernel.arg_names
    made = ast(
        fn=kernel,
        signature={name: types.get(name, "constexpr") for name in names},
        constexprs={name: constants.get(name) for name in names if name not in types},
        attrs={(i,): [["tt.divisibility", 16]] for i, name in enumerate(names) if types.get(name, "").startswith("*")},
    )
    return triton.compile(made, target=GPUTarget("cuda", how.arch, 32), options=how.options())


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
