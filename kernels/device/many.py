"""Many kernels compiled ahead of time, by several processes: a line of a table for each, with the limits it breaks."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import astuple, dataclass
from multiprocessing import get_context
from typing import Any, TypeVar

from . import limits, sass
from .tile import Tile

Job = TypeVar("Job")
HEADER = (
    f"{'kernel':40}{'parts,tile,w,s':>18}{'regs':>6}{'spill':>7}{'KiB':>8}{'CTAs':>6}{'wide':>6}{'shfl':>6}{'/pair':>7}"
    f"{'s':>7}  tensor cores"
)


@dataclass(frozen=True)
class Result:
    """A compiled kernel.

    Attributes:
        programs: that fit on a multiprocessor together.
        faults: the limits that it breaks.
    """

    name: str
    tile: Tile
    cost: sass.Cost
    programs: int
    faults: tuple[str, ...]
    seconds: float

    @property
    def per_pair(self) -> float:
        """Instructions of a pair behind the products."""
        return self.cost.tail * self.tile.threads / (self.tile.queries * self.tile.videos)

    def __str__(self) -> str:
        cost = self.cost
        opcodes = " ".join(f"{name} {count}" for name, count in sorted(cost.matrix.items()))
        return (
            f"{self.name:40}{'x'.join(map(str, astuple(self.tile)[:-1])):>18}{cost.registers:>6}{cost.stack:>7}"
            f"{cost.shared / 1024:>8.1f}{self.programs:>6}{cost.wide_copies:>6.0%}{cost.shuffles:>6}"
            f"{self.per_pair:>7.0f}{self.seconds:>7.1f}  {opcodes:16}{'; '.join(self.faults)}"
        )


def held(
    name: str,
    tile: Tile,
    arch: int,
    make: Callable[[], Any],
    *,
    rows: int,
    words: Sequence[str],
    int8: bool = False,
    fresh: bool = False,
) -> Result:
    """Compile a kernel and look for what breaks a limit.

    Args:
        make: compiles it.
        rows, words, int8: see ``limits.faults``.
        fresh: compile even what triton's cache holds.
    """
    from triton import knobs  # type: ignore[import-untyped]

    knobs.compilation.disable_line_info = True
    knobs.compilation.always_compile = fresh
    start = time.perf_counter()
    made = make()
    seconds = time.perf_counter() - start
    cost = sass.cost(made)
    broken = limits.faults(made, cost, tile, arch, rows=rows, words=words, int8=int8)
    return Result(name, tile, cost, limits.programs(cost, arch), tuple(broken), seconds)


def parser(program: str, description: str, example: str) -> argparse.ArgumentParser:
    """The options of all commands that compile."""
    made = argparse.ArgumentParser(
        prog=f"python -m {program}", description=description, epilog=f"example: python -m {program} {example}"
    )
    made.add_argument("--arch", type=int, nargs="+", choices=tuple(limits.DEVICES), help="as 90 for 9.0")
    made.add_argument("--frames", type=int, default=12)
    made.add_argument("--width", type=int, default=512)
    made.add_argument("--search", action="store_true", help="the kernels of a search")
    made.add_argument("--candidates", action="store_true", help="rows that nothing takes yet, instead of the tables'")
    made.add_argument("--processes", type=int, default=2)
    made.add_argument("--fresh", action="store_true", help="compile even what triton's cache holds")
    return made


def compile_many(jobs: Sequence[Job], run: Callable[[Job, bool], Result], *, processes: int, fresh: bool) -> int:
    """Print the table, and return the exit status: 1 where a limit is broken.

    Args:
        run: compiles a job; ``fresh``, even where triton's cache holds it.
    """
    start = time.perf_counter()
    print(HEADER)
    failed = 0
    # Spawned, because a forked compiler can hang on locks of threads that the fork left behind.
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        for result in pool.map(run, jobs, [fresh] * len(jobs)):
            print(result, flush=True)
            failed += bool(result.faults)
    print(f"{len(jobs)} kernels, {failed} with faults, {time.perf_counter() - start:.0f} s")
    return int(failed > 0)
