"""Nsight Compute on the main kernels, where it is installed: a few metrics of one launch each.

This module is also the process that it watches: ``python -m framesift.bench.gpu.profiling KERNEL QUERIES VIDEOS``.
"""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from collections.abc import Iterator
from shutil import which

from ..schema.gpu import GpuProfile

# Whose throughput is what share of its peak: memory, second-level cache, first-level cache and shared memory, the
# multiprocessors' issue; and the time in nanoseconds.
METRICS = (
    "gpu__time_duration.sum",
    "dram__throughput.avg.pct_of_peak_sustained_elapsed",
    "lts__throughput.avg.pct_of_peak_sustained_elapsed",
    "l1tex__throughput.avg.pct_of_peak_sustained_active",
    "sm__inst_executed_pipe_tensor.avg.pct_of_peak_sustained_active",
    "sm__throughput.avg.pct_of_peak_sustained_elapsed",
    "launch__registers_per_thread",
)
# Kernels by the scorer that starts them, with the texts that they are watched with.
WATCHED = {
    ("topk_attention", 1): "score_kernel",
    ("topk_attention", 256): "score_kernel",
    ("frame_softmax", 1): "frame_softmax_kernel",
    ("token_frame", 64): "token_frame_kernel",
    ("multi_grained", 16): "fine_kernel",
}
VIDEOS = 100_000
# Seconds of all together, at most.
LONGEST_S = 300.0
NO_TOOL = "no ncu here: not profiled"


def profile(seconds: float) -> Iterator[GpuProfile]:
    """A row of each kernel, as far as the time goes; one that says why there are none where ncu is missing."""
    tool = which("ncu")
    if tool is None:
        yield GpuProfile(kernel="", queries=0, videos=0, failure=NO_TOOL)
        return
    for (scorer, queries), kernel in WATCHED.items():
        yield _watched(tool, scorer, queries, kernel, seconds / len(WATCHED))


def line(row: GpuProfile) -> str:
    """One row as text."""
    if row.failure:
        return f"{row.kernel:24}{row.queries:5} {row.failure}".strip()
    told = ", ".join(f"{name.partition('.')[0]} {value:.4g}" for name, value in row.metrics.items())
    return f"{row.kernel:24}{row.queries:5}{row.videos:9}  {told}"


def parsed(text: str) -> dict[str, float]:
    """Metrics of ncu's table of comma-separated values, behind the lines that the program itself printed."""
    lines = text.splitlines()
    start = next((number for number, one in enumerate(lines) if one.startswith('"ID"')), len(lines))
    found = {}
    for row in csv.DictReader(lines[start:]):
        value = row.get("Metric Value", "").replace(",", "")
        try:
            found[row["Metric Name"]] = float(value)
        except ValueError:
            continue
    return found


def _watched(tool: str, scorer: str, queries: int, kernel: str, seconds: float) -> GpuProfile:
    # The clock stays as it is: the settings of another's device are not ours.
    options = ["--csv", "--clock-control", "none", "--kernel-name", kernel, "--launch-count", "1"]
    options += ["--print-units", "base", "--metrics", ",".join(METRICS)]
    watched = [sys.executable, "-m", __spec__.name, scorer, str(queries), str(VIDEOS)]
    failure, metrics = "", {}
    try:
        done = subprocess.run(
            [tool, *options, *watched], capture_output=True, text=True, timeout=seconds, check=False, env=os.environ
        )
        metrics = parsed(done.stdout)
        if not metrics:
            failure = " ".join((done.stdout + done.stderr).split())[-200:] or f"ncu ended with {done.returncode}"
    except subprocess.TimeoutExpired:
        failure = f"not done within {seconds:.0f} s"
    return GpuProfile(kernel=kernel, queries=queries, videos=VIDEOS, metrics=metrics, failure=failure)


def _run(scorer: str, queries: int, videos: int) -> None:
    import torch

    device = torch.device("cuda")
    if scorer == "topk_attention":
        from .gallery import gallery
        from .scoring import Asked

        Asked.of(gallery(videos, "float16", device, raw=1), queries).scores()
    else:
        from .pair_gallery import PairCase

        case = PairCase.drawn(scorer, videos, device)
        case.scan(case.texts(queries)).score()
    torch.cuda.synchronize()


if __name__ == "__main__":
    _run(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
