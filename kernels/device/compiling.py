"""Triton kernels as machine code for a GPU that needn't be there."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

_BOX = re.compile(r"tensordesc<\w+\[([\d, ]+)\]")


def compiled(
    kernel: Any, types: Mapping[str, str], constants: Mapping[str, Any], arch: int, *, options: Any = None
) -> Any:
    """A ``triton`` compiled kernel of parameters of these ``types``; all others are ``constants``, or None.

    Pointers are declared divisible by 16, without which there are no 16-byte copies: a launch gets the same from the
    addresses of torch's tensors, another caller has to align its own.
    """
    import triton  # type: ignore[import-untyped]
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


def words_of(kinds: Iterable[str]) -> list[str]:
    """Types of the PTX's parameters as ``sass.parameters`` reads them, and two pointers of scratch memory.

    A descriptor is an aligned block of bytes, its shape and its strides.
    """
    found = []
    for kind in kinds:
        if box := _BOX.match(kind):
            rank = box[1].count(",") + 1
            found += ["align", *["u32"] * rank, *["u64"] * rank]
        else:
            found.append({"i32": "u32", "fp32": "f32"}.get(kind, "u64"))
    return [*found, "u64", "u64"]
