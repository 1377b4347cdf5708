"""Triton kernels as machine code, which the driver loads without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..device.compiling import compiled as compiled_by_triton
from ..device.limits import check_plain


@dataclass(frozen=True)
class Source:
    """A kernel to compile.

    Attributes:
        types: of its parameters, by name, in their order; pointers start with ``*``.
        constants: values of others; what neither names is None.
        options: of the compiler.
    """

    kernel: Any
    types: Mapping[str, str]
    constants: Mapping[str, Any]
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Code:
    """One compiled kernel.

    Attributes:
        image: a cubin.
        kinds: types of its parameters, in order.
        threads: of a program.
        shared: bytes of shared memory of a program.
        scratch: pointers to scratch memory behind the parameters, which the kernel doesn't read.
    """

    name: str
    image: bytes
    kinds: tuple[str, ...]
    threads: int
    shared: int
    scratch: int


def machine_code(source: Source, arch: int) -> Any:
    """Compile for compute capability ``arch``, such as 90: a ``triton`` compiled kernel. No GPU has to be there."""
    return compiled_by_triton(source.kernel, source.types, source.constants, arch, options=dict(source.options))


def compiled(source: Source, arch: int) -> Code:
    """Compile for a device: some seconds to a minute where the compiler's cache doesn't hold it.

    Raises:
        RuntimeError: the kernel wants what its launch doesn't give.
    """
    found = machine_code(source, arch)
    check_plain(found)
    wanted, ptx = found.metadata, found.asm["ptx"]
    start = ptx.index("(", ptx.index(".entry"))
    declared = ptx[start : ptx.index(")", start)].count(".param")
    names = [name for name in source.kernel.arg_names if name in source.types]
    return Code(
        name=wanted.name,
        image=found.asm["cubin"],
        kinds=tuple(source.types[name] for name in names),
        threads=32 * wanted.num_warps,
        shared=wanted.shared,
        scratch=declared - len(names),
    )
