"""What compiled Triton kernels cost, read from their machine code: registers, spills, matrix and copy instructions."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_INSTRUCTION = re.compile(r"/\*[0-9a-f]{4,}\*/\s+(?:\{\s*)?(?:@!?U?P\w+\s+)?([A-Z][A-Z0-9_]*)((?:\.\w+)*)")
# The matrix instructions of sm_80 to sm_89 and sm_120, of sm_90, and of sm_100.
_MATRIX = re.compile(r"[HIQ]?MMA|[HIQ]GMMA|UTC[A-Z]*MMA")


@dataclass(frozen=True)
class Cost:
    """One compiled kernel."""

    registers: int
    stack: int
    """Bytes of local memory per thread: nonzero when registers were spilled."""
    local_accesses: int
    shared: int
    """Bytes of shared memory of a program."""
    warps: int
    """Of a program."""
    matrix: dict[str, int]
    """Tensor-core instructions by name."""
    copies: int
    wide_copies: float
    """Share of the bytes copied asynchronously to shared memory that 16-byte copies carry."""
    bulk_copies: int
    """Instructions of the bulk copy engine."""
    shuffles: int
    tail: int
    """Instructions of a thread behind the last tensor-core instruction."""
    cubin_bytes: int


def cost(kernel: Any) -> Cost:
    """Read a kernel compiled by ``triton.compile``."""
    with tempfile.TemporaryDirectory() as folder:
        cubin = Path(folder) / "kernel.cubin"
        cubin.write_bytes(kernel.asm["cubin"])
        usage = _tool("cuobjdump", "--dump-resource-usage", str(cubin))
        code = _INSTRUCTION.findall(_tool("cuobjdump", "--dump-sass", str(cubin)))
    if not code:
        raise RuntimeError("cuobjdump printed no instruction that could be read")
    registers, stack = (int(re.search(rf"{key}:(\d+)", usage)[1]) for key in ("REG", "STACK"))  # type: ignore[index]
    names = Counter(name for name, _ in code)
    matrix = {name: count for name, count in names.items() if _MATRIX.fullmatch(name)}
    last = max((i for i, (name, _) in enumerate(code) if name in matrix), default=len(code) - 1)
    copies = [16 if "128" in flags else 8 if "64" in flags else 4 for name, flags in code if name == "LDGSTS"]
    return Cost(
        registers=registers,
        stack=stack,
        local_accesses=names["LDL"] + names["STL"],
        shared=kernel.metadata.shared,
        warps=kernel.metadata.num_warps,
        matrix=matrix,
        copies=len(copies),
        wide_copies=sum(size for size in copies if size == 16) / max(1, sum(copies)),
        bulk_copies=names["UTMALDG"],
        shuffles=names["SHFL"],
        tail=len(code) - 1 - last,
        cubin_bytes=len(kernel.asm["cubin"]),
    )


def parameters(ptx: str) -> list[str]:
    """Types of the parameters of the only kernel in ``ptx``, such as u64 for a pointer and u32 for an int32."""
    entry = ptx[ptx.index(".entry") :]
    return re.findall(r"\.param \.(\w+)", entry[: entry.index(")")])


def _tool(name: str, *arguments: str) -> str:
    """Run one of the CUDA tools that the triton package carries."""
    import triton  # type: ignore[import-untyped]

    tool = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / name
    return subprocess.run([str(tool), *arguments], check=True, capture_output=True, text=True).stdout
