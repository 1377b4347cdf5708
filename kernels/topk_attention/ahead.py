"""What a GPU's searches need, compiled before they begin: the compiler's cache keeps it for every later process.

No GPU has to be there, nor torch.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from ..cuda.code import Source, compiled
from ..device.tile import LONGEST, SHORTEST, SOME
from .building import selecting, source_of
from .certified.resident import source_of as step_source
from .layout import HeadShape
from .plans import plan

# Numbers of queries that stand for those of one kernel each: few, some and many.
REGIMES = (1, SOME, SOME + 1)
STEPS = ("products", "scores", "left")


def names(*, int8: bool) -> list[str]:
    """What is compiled: scores of so many queries, selections of so many videos, and kernels of the int8 search."""
    scores, selections = [f"score {count}" for count in REGIMES], [f"select {kept}" for kept in (SHORTEST, LONGEST)]
    return [*scores, *selections, *(STEPS if int8 else ())]


def source(name: str, shape: HeadShape, arch: int) -> Source:
    """One of ``names``."""
    kind, _, count = name.partition(" ")
    if kind == "score":
        return source_of(plan(shape, "float16", int(count), arch), search=True, live=True)
    return selecting(int(count)) if kind == "select" else step_source(name, shape)


def compile_all(shape: HeadShape, arch: int, report: Callable[[str], None], *, int8: bool) -> None:
    """Compile everything for a compute capability such as 90, several at a time; at once where it was done before.

    Raises:
        RuntimeError: a kernel can't be compiled.
    """
    jobs = names(int8=int8)
    processes = min(len(jobs), len(os.sched_getaffinity(0)))
    # Spawned, because a forked compiler can hang on locks of threads that the fork left behind.
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        report(f"compiling {len(jobs)} kernels for sm_{arch}, unless an earlier start left them")
        found = [pool.submit(_compile, name, shape, arch) for name in jobs]
        for job in found:
            job.result()


def _compile(name: str, shape: HeadShape, arch: int) -> None:
    compiled(source(name, shape, arch), arch)
