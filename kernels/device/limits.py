"""What every Triton kernel's machine code is held to, for GPUs that needn't be there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .sass import Cost, parameters
from .tile import Tile

# The compute capabilities that are compiled for: those between run code of the one below.
ARCHITECTURES = (80, 90, 100, 120)
# Programs on a multiprocessor, at least, but for tiles that have it to themselves; and the share of what is copied to
# shared memory that 16-byte copies carry.
PROGRAMS, WIDE_COPIES = 2, 0.8
# The matrix instructions of products of so many rows where there are better ones than HMMA.
_MATRIX_ROWS, _MATRIX = 64, {90: "HGMMA", 100: "UTCHMMA"}


@dataclass(frozen=True)
class Device:
    """A compute capability: shared memory of a program and of a multiprocessor in KiB, warps, programs."""

    shared: int
    shared_total: int
    warps: int
    programs: int


# CUDA C++ Programming Guide, "Technical Specifications per Compute Capability".
DEVICES = {
    80: Device(163, 164, 64, 32),
    86: Device(99, 100, 48, 16),
    89: Device(99, 100, 48, 24),
    90: Device(227, 228, 64, 32),
    100: Device(227, 228, 64, 32),
    120: Device(99, 100, 48, 24),
}
_REGISTERS = 65536


def programs(cost: Cost, arch: int) -> int:
    """How many programs of a kernel fit on a multiprocessor of compute capability ``arch`` together."""
    device = DEVICES[arch]
    # Registers are handed out to warps in units of 256, shared memory with 1 KiB for the system.
    per_warp = -(-cost.registers * 32 // 256) * 256
    return min(
        _REGISTERS // per_warp // cost.warps,
        device.shared_total * 1024 // (cost.shared + 1024),
        device.warps // cost.warps,
        device.programs,
    )


def faults(
    made: Any, cost: Cost, tile: Tile, arch: int, *, rows: int, words: Sequence[str], int8: bool = False
) -> list[str]:
    """The limits that a kernel breaks, in words.

    Args:
        made: as ``triton.compile`` returns it.
        rows: of its products.
        words: types of the parameters that its launch passes, as ``sass.parameters`` reads them.
        int8: whether it multiplies int8.
    """
    opcode = "IGMMA" if int8 else _MATRIX.get(arch, "HMMA") if rows >= _MATRIX_ROWS else "HMMA"
    copied = cost.copies > 0 and cost.wide_copies >= WIDE_COPIES if tile.kernel == "portable" else cost.bulk_copies > 0
    kept = {
        f"{cost.stack} B of spills": not cost.stack and not cost.local_accesses,
        "too much shared memory": cost.shared <= DEVICES[arch].shared * 1024,
        f"no {opcode}": opcode in cost.matrix,
        f"only {cost.wide_copies:.0%} wide copies, {cost.bulk_copies} bulk": copied,
        f"fewer than {PROGRAMS} programs": programs(cost, arch) >= (1 if tile.alone else PROGRAMS),
        "global scratch memory": not made.metadata.global_scratch_size,
        "other parameters than the launcher's": parameters(made.asm["ptx"]) == list(words),
    }
    return [name for name, so in kept.items() if not so]


def check_plain(made: Any) -> None:
    """Check that whoever has a kernel's code and parameters can launch it.

    Raises:
        RuntimeError: it wants what `triton`'s own launcher alone gives.
    """
    wanted = made.metadata
    if wanted.global_scratch_size or wanted.profile_scratch_size or wanted.num_ctas != 1 or wanted.tensordesc_meta:
        raise RuntimeError(f"{wanted.name} wants scratch memory, clusters or tensor descriptors: {wanted}")
