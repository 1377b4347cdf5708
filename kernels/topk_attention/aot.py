"""Compile the Triton kernels ahead of time for GPUs that needn't be there, and hold the machine code to limits.

    python -m framesift.kernels.topk_attention.aot
    python -m framesift.kernels.topk_attention.aot --arch 90 --storage int8 --regime few many
    python -m framesift.kernels.topk_attention.aot --arch 90 --candidates

Without arguments: every row of the tables of tiles, some minutes a core. A line per kernel: registers, spills, shared
memory, programs per multiprocessor, tensor-core instructions, the share of 16-byte asynchronous copies, and the
instructions per pair behind the products. What breaks a limit is named behind the line, and the exit status is 1.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import astuple, dataclass
from multiprocessing import get_context
from typing import TYPE_CHECKING

from .configs import BYTES, CANDIDATES, TILES, Regime, Storage, Tile

if TYPE_CHECKING:
    from .sass import Cost

QUERIES = {"few": 1, "some": 16, "many": 256}
# The opcodes of products of many queries where warpgroups or a tensor memory exist.
MATRIX = {90: "HGMMA", 100: "UTCHMMA"}
# Where the bulk copy engine is used.
BULK = "UTMALDG"
# Of a thread behind the products. One that has a single pair shares the loads of a table's rows, 270 and 12 of sizes,
# with no other.
INSTRUCTIONS_PER_PAIR, OF_A_SINGLE_PAIR = 800, 1050
WIDE_COPIES = 0.8
# At least so many on a multiprocessor, but for tiles that have it to themselves.
PROGRAMS = 2
_GATED = (80, 90, 100, 120)


@dataclass(frozen=True)
class Job:
    """One kernel to compile."""

    arch: int
    storage: Storage
    regime: Regime
    frames: int = 12
    width: int = 512
    top_k: int = 4
    heads: int = 1
    search: bool = False
    """Whether the kernel also keeps the groups' largest scores."""
    tile: Tile | None = None
    """None: the one of the table."""

    def __str__(self) -> str:
        kind = self.tile.kernel if self.tile else "portable"
        return f"sm_{self.arch} {self.storage} {self.regime} {kind}{' search' if self.search else ''}"


@dataclass(frozen=True)
class Result:
    """A compiled job."""

    job: Job
    tile: tuple[int, ...]
    cost: Cost
    per_pair: float
    faults: list[str]
    seconds: float


def every_row(arch: tuple[int, ...] = _GATED) -> Iterator[Job]:
    """All rows of the tables for those architectures; the search's kernels and e4m3 for 9.0 alone."""
    for each, regime in TILES:
        if each in arch:
            yield Job(each, "float16", regime)
            if (each, regime) in BYTES:
                yield Job(each, "int8", regime)
    if 90 in arch:
        yield Job(90, "int8", "many")
        yield Job(90, "float8_e4m3fn", "few")
        yield from (Job(90, "float16", regime, search=True) for regime in ("few", "some", "many"))


def candidates(arch: tuple[int, ...] = _GATED) -> Iterator[Job]:
    """All rows that nothing takes yet."""
    for (each, regime, storage), tiles in CANDIDATES.items():
        if each in arch:
            yield from (Job(each, storage, regime, tile=tile) for tile in tiles)


def run(job: Job, fresh: bool = False) -> Result:
    """Compile a job and look for what breaks a limit."""
    from triton import knobs  # type: ignore[import-untyped]

    from . import sass
    from .building import build, words
    from .layout import HeadShape
    from .plans import Plan, plan

    knobs.compilation.disable_line_info = True
    knobs.compilation.always_compile = fresh
    shape = HeadShape(job.frames, job.width, job.top_k, job.heads)
    how = plan(shape, job.storage, QUERIES[job.regime], job.arch)
    how = Plan(shape, job.storage, job.arch, job.tile) if job.tile else how
    start = time.perf_counter()
    kernel = build(how, search=job.search)
    seconds = time.perf_counter() - start
    cost = sass.cost(kernel, job.arch)
    tile = how.tile
    per_pair = cost.tail * tile.threads / (tile.queries * tile.videos)

    opcode = MATRIX.get(job.arch, "HMMA") if job.regime == "many" else "HMMA"
    if how.parted:
        opcode = "IGMMA"
    most = OF_A_SINGLE_PAIR if tile.queries * tile.videos <= tile.threads else INSTRUCTIONS_PER_PAIR
    alone = tile.kernel == "pingpong" or tile.warps > 4
    copied = cost.bulk_copies if tile.kernel != "portable" else cost.copies > 0 and cost.wide_copies >= WIDE_COPIES
    limits = {
        f"{cost.stack} B of spills": not cost.stack and not cost.local_accesses,
        "too much shared memory": cost.shared <= sass.DEVICES[job.arch].shared * 1024,
        f"no {opcode}": opcode in cost.matrix,
        f"only {cost.wide_copies:.0%} wide copies, {cost.bulk_copies} bulk": copied,
        f"fewer than {PROGRAMS} programs": cost.programs >= (1 if alone else PROGRAMS),
        "global scratch memory": not kernel.metadata.global_scratch_size,
        "other parameters than the launcher's": sass.parameters(kernel.asm["ptx"]) == words(how, job.search),
        # the largest of a group is exchanged between threads
        f"{cost.shuffles} shuffles": job.search or not cost.shuffles,
        "too many instructions per pair": job.search or per_pair <= most,
    }
    faults = [name for name, kept in limits.items() if not kept]
    return Result(job, astuple(tile)[:-1], cost, per_pair, faults, seconds)


def line(result: Result) -> str:
    """A row of the table."""
    cost = result.cost
    opcodes = " ".join(f"{name} {count}" for name, count in sorted(cost.matrix.items()))
    return (
        f"{result.job!s:40}{'x'.join(map(str, result.tile)):>18}{cost.registers:>6}{cost.stack:>7}"
        f"{cost.shared / 1024:>8.1f}{cost.programs:>6}{cost.wide_copies:>6.0%}{result.per_pair:>7.0f}"
        f"{result.seconds:>7.1f}  {opcodes:16}{'; '.join(result.faults)}"
    )


HEADER = (
    f"{'kernel':40}{'parts,tile,w,s':>18}{'regs':>6}{'spill':>7}{'KiB':>8}{'CTAs':>6}{'wide':>6}{'/pair':>7}{'s':>7}  "
    "tensor cores"
)


def main(arguments: list[str] | None = None) -> int:
    """The command; see the module's docstring."""
    parser = argparse.ArgumentParser(
        prog="python -m framesift.kernels.topk_attention.aot",
        description="Compile the Triton kernels ahead of time, print what they cost, and fail where a limit is broken.",
        epilog="example: python -m framesift.kernels.topk_attention.aot --arch 80 90 --storage int8 --regime few many",
    )
    parser.add_argument("--arch", type=int, nargs="+", help="compute capabilities, such as 90 for 9.0")
    parser.add_argument(
        "--storage", nargs="+", help="dtypes of the frames: float16 bfloat16 float32 int8 float8_e4m3fn"
    )
    parser.add_argument("--regime", nargs="+", choices=sorted(QUERIES), help="numbers of queries")
    parser.add_argument("--frames", type=int, default=12)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--top-k", type=int, default=4)
    parser.add_argument("--heads", type=int, default=1)
    parser.add_argument("--search", action="store_true", help="the kernels of a search")
    parser.add_argument("--candidates", action="store_true", help="rows that nothing takes yet, instead of the tables'")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--fresh", action="store_true", help="compile even what triton's cache holds")
    given = parser.parse_args(arguments)
    arch = tuple(given.arch or _GATED)
    if given.storage or given.regime or given.search:
        sizes = {name: getattr(given, name) for name in ("frames", "width", "top_k", "heads")}
        storages: Sequence[Storage] = given.storage or ("float16",)
        jobs = [
            Job(each, storage, regime, **sizes, search=given.search)
            for each in arch
            for storage in storages
            for regime in given.regime or ("few", "many")
        ]
        if given.candidates:
            asked = {(job.arch, job.storage, job.regime) for job in jobs}
            jobs = [job for job in candidates(arch) if (job.arch, job.storage, job.regime) in asked]
    else:
        jobs = list(candidates(arch) if given.candidates else every_row(arch))

    start = time.perf_counter()
    print(HEADER)
    failed = 0
    # spawned, because a forked compiler can hang on locks of threads that the fork left behind
    with ProcessPoolExecutor(given.processes, mp_context=get_context("spawn")) as pool:
        for result in pool.map(run, jobs, [given.fresh] * len(jobs)):
            print(line(result), flush=True)
            failed += bool(result.faults)
    print(f"{len(jobs)} kernels, {failed} with faults, {time.perf_counter() - start:.0f} s")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
