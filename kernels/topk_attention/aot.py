"""Compile the Triton kernels ahead of time for GPUs that needn't be there, and hold the machine code to limits.

    python -m framesift.kernels.topk_attention.aot
    python -m framesift.kernels.topk_attention.aot --arch 90 --storage int8 --regime few many

A line per kernel: registers, spills, shared memory, programs per multiprocessor, tensor-core instructions, the share of
16-byte asynchronous copies, and the instructions per pair behind the products. What breaks a limit is named behind the
line, and the exit status is 1.
"""

from __future__ import annotations

import argparse
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .launch import Plan
    from .sass import Cost

QUERIES = {"few": 1, "some": 16, "many": 256}
# The opcode that the many-query kernel must have where warpgroups or a tensor memory exist.
MATRIX = {90: "HGMMA", 100: "UTCHMMA"}
INSTRUCTIONS_PER_PAIR = 800
WIDE_COPIES = 0.8
PROGRAMS = 2


@dataclass(frozen=True)
class Job:
    """One kernel to compile."""

    arch: int
    storage: str
    regime: str
    frames: int = 12
    width: int = 512
    top_k: int = 4
    heads: int = 1
    best: int = 0
    """Videos per block that the search kernel keeps, a power of two; 0: the score kernel."""

    def __str__(self) -> str:
        return f"sm_{self.arch} {self.storage} {self.regime}{f' best {self.best}' if self.best else ''}"


@dataclass(frozen=True)
class Result:
    """A compiled job."""

    job: Job
    tile: tuple[int, ...]
    cost: Cost
    per_pair: float
    faults: list[str]
    seconds: float


DEFAULT = [Job(arch, "float16", regime) for arch in (90, 100, 80, 120) for regime in ("few", "many")]
DEFAULT += [Job(90, "int8", "few"), Job(90, "int8", "many")]
DEFAULT += [Job(90, "float16", "few", best=16), Job(90, "float16", "many", best=16)]


def build(how: Plan, best: int = 0, live: bool = False) -> Any:
    """Compile a plan's score kernel, or with ``best`` its search kernel: a ``triton`` compiled kernel.

    Pointers are declared divisible by 16, without which there are no 16-byte copies: ``launch`` gets the same from the
    addresses of torch's tensors, another caller has to align its own.
    """
    import triton  # type: ignore[import-untyped]
    from triton.backends.compiler import GPUTarget  # type: ignore[import-untyped]
    from triton.compiler import ASTSource  # type: ignore[import-untyped]

    from .kernel import score_kernel, search_kernel

    kernel = search_kernel if best else score_kernel
    types = dict(how.parameters(best=bool(best), live=live))
    constants = how.constants() | {name: None for name in ("MEAN", "LIVE") if name not in types}
    if best:
        constants["N"] = best
    constants = {name: value for name, value in constants.items() if name in kernel.arg_names}
    source = ASTSource(
        fn=kernel,
        signature={name: types.get(name, "constexpr") for name in kernel.arg_names},
        constexprs=constants,
        attrs={
            (i,): [["tt.divisibility", 16]]
            for i, name in enumerate(kernel.arg_names)
            if types.get(name, "").startswith("*")
        },
    )
    return triton.compile(source, target=GPUTarget("cuda", how.arch, 32), options=how.options())


def run(job: Job, fresh: bool = False) -> Result:
    """Compile a job and look for what breaks a limit."""
    from triton import knobs

    from . import sass
    from .launch import plan
    from .layout import HeadShape

    knobs.compilation.disable_line_info = True
    knobs.compilation.always_compile = fresh
    shape = HeadShape(job.frames, job.width, job.top_k, job.heads)
    how = plan(shape, job.storage, QUERIES[job.regime], job.arch)  # type: ignore[arg-type]
    start = time.perf_counter()
    kernel = build(how, job.best)
    seconds = time.perf_counter() - start
    cost = sass.cost(kernel, job.arch)
    tile = how.tile
    per_pair = cost.tail * tile.threads / (tile.queries * tile.videos)

    wanted = [{"i32": "u32"}.get(kind, "u64") for _, kind in how.parameters(bool(job.best))] + ["u64", "u64"]
    opcode = MATRIX.get(job.arch, "HMMA") if job.regime == "many" else "HMMA"
    limits = {
        f"{cost.stack} B of spills": not cost.stack and not cost.local_accesses,
        "too much shared memory": cost.shared <= sass.DEVICES[job.arch].shared * 1024,
        f"no {opcode}": opcode in cost.matrix,
        f"only {cost.wide_copies:.0%} wide copies": cost.copies > 0 and cost.wide_copies >= WIDE_COPIES,
        f"fewer than {PROGRAMS} programs": cost.programs >= PROGRAMS,
        "global scratch memory": not kernel.metadata.global_scratch_size,
        "other parameters than the launcher's": sass.parameters(kernel.asm["ptx"]) == wanted,
        # the search kernel's selection exchanges values between threads, and is skipped for most tiles
        f"{cost.shuffles} shuffles": bool(job.best) or not cost.shuffles,
        "too many instructions per pair": bool(job.best) or per_pair <= INSTRUCTIONS_PER_PAIR,
    }
    faults = [name for name, kept in limits.items() if not kept]
    sizes = (tile.parts, tile.queries, tile.videos, tile.depth, tile.warps, tile.stages)
    return Result(job, sizes, cost, per_pair, faults, seconds)


def line(result: Result) -> str:
    """A row of the table."""
    cost = result.cost
    opcodes = " ".join(f"{name} {count}" for name, count in sorted(cost.matrix.items()))
    return (
        f"{result.job!s:30}{'x'.join(map(str, result.tile)):>18}{cost.registers:>6}{cost.stack:>7}"
        f"{cost.shared / 1024:>8.1f}{cost.programs:>6}{cost.wide_copies:>6.0%}{result.per_pair:>7.0f}"
        f"{result.seconds:>7.1f}  {opcodes:16}{'; '.join(result.faults)}"
    )


HEADER = (
    f"{'kernel':30}{'parts,tile,w,s':>18}{'regs':>6}{'spill':>7}{'KiB':>8}{'CTAs':>6}{'wide':>6}{'/pair':>7}{'s':>7}  "
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
    parser.add_argument(
        "--best", type=int, default=0, help="the search kernel, keeping this many videos; a power of two"
    )
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--fresh", action="store_true", help="compile even what triton's cache holds")
    given = parser.parse_args(arguments)
    sizes = {name: getattr(given, name) for name in ("frames", "width", "top_k", "heads")}
    if given.arch or given.storage or given.regime:
        jobs = [
            Job(arch, storage, regime, **sizes, best=given.best)
            for arch in given.arch or (80, 90, 100, 120)
            for storage in given.storage or ("float16",)
            for regime in given.regime or ("few", "many")
        ]
    else:
        jobs = [replace(job, **sizes, best=given.best or job.best) for job in DEFAULT]

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
