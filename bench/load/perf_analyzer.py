"""NVIDIA's perf_analyzer against the same server, where it is installed: its figures stand beside ours."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from tritonclient.utils import triton_to_np_dtype

from ...export.bundle.models import SEARCH
from ...serving.client import wire
from ..schema.load import PerfAnalyzerFigures, Window

PROGRAM = "perf_analyzer"
# It repeats a level until it is content with how steady it is; ours are measured once.
_TRIALS, _STEADY_PERCENT = 3, 999
# At these levels of a sweep; it takes up to three times as long as we do.
_CONCURRENCY, _FRACTIONS = (1, 4, 16), (0.5, 0.8)
# The report's column of a figure, what it is divided by, and the digits that are kept.
_COLUMNS = {
    "qps": ("Inferences/Second", 1, 4),
    **{f"{name}_ms": (f"{name} latency", 1e3, 3) for name in ("p50", "p95", "p99")},
}


class PerfAnalyzer:
    """Runs searches for ``queries`` against the server at ``address``, ``seconds`` a trial; files go into ``folder``.

    Latencies of a rate are counted from when a request was sent, not from when it was due.
    """

    def __init__(self, address: str, queries: Sequence[str], top: int, seconds: float, folder: Path) -> None:
        self._address, self._seconds = address, seconds
        self._data, self._report = folder / "queries.json", folder / "report.csv"
        self._data.write_text(json.dumps(input_data(queries, top)), encoding="utf-8")

    def __call__(self, row: Window) -> Window:
        """A row of ours with what was found at its level, if it is one of those that are measured.

        It gives up at the first refused search; then its last words stand for the figures.
        """
        if row.loop == "closed" and row.concurrency in _CONCURRENCY:
            level = [f"--concurrency-range={row.concurrency}"]
        elif row.loop == "open" and row.fraction in _FRACTIONS:
            level = [f"--request-rate-range={row.offered_qps}", "--request-distribution=poisson"]
        else:
            return row
        # A level that failed must not be given the report of the one before.
        self._report.unlink(missing_ok=True)
        done = _run(
            f"-m{SEARCH}",
            f"-u{self._address}",
            "-igrpc",
            "--async",
            f"--input-data={self._data}",
            f"--measurement-interval={round(1000 * self._seconds)}",
            f"--max-trials={_TRIALS}",
            f"--stability-percentage={_STEADY_PERCENT}",
            f"-f{self._report}",
            *level,
        )
        report = self._report.read_text(encoding="utf-8") if self._report.is_file() else ""
        return replace(row, perf_analyzer=figures(report) or PerfAnalyzerFigures(failed=last_words(done)))


def missing() -> str | None:
    """Why perf_analyzer can't be used here; None where it can."""
    if shutil.which(PROGRAM) is None:
        return f"{PROGRAM} is not on the PATH"
    done = _run("--version")
    return None if "Version" in done.stdout + done.stderr else f"{PROGRAM} does not run: {last_words(done)}"


def last_words(done: subprocess.CompletedProcess[str]) -> str:
    """The last line that a run of perf_analyzer printed, without the number of the thread that failed."""
    lines = [line for line in (done.stderr.strip() or done.stdout.strip()).splitlines() if line.strip()]
    return lines[-1].strip().partition(" had error: ")[2] or lines[-1].strip() if lines else "it printed nothing"


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    # Its exit status says nothing: the command of its wheel ends with 0 whatever the program did.
    return subprocess.run([PROGRAM, *arguments], capture_output=True, text=True, check=False)


def input_data(queries: Sequence[str], top: int) -> dict[str, Any]:
    """The requests for ``queries`` as perf_analyzer reads them."""
    return {
        "data": [
            {
                tensor.name(): {
                    "content": np.frombuffer(tensor._get_content(), triton_to_np_dtype(tensor.datatype())).tolist(),
                    "shape": list(tensor.shape()[1:]),
                }
                for tensor in wire.search_calls(wire.encode_texts([query]), top, 1)[0].inputs
            }
            for query in queries
        ]
    }


def figures(report: str) -> PerfAnalyzerFigures | None:
    """Throughput and latencies of the one level in a report, None if there is none; a column that it lacks is None."""
    row = next(csv.DictReader(report.splitlines()), None)
    if row is None:
        return None
    # Latencies are in microseconds.
    values: dict[str, Any] = {
        name: round(float(row[column]) / scale, digits) if row.get(column) else None
        for name, (column, scale, digits) in _COLUMNS.items()
    }
    return PerfAnalyzerFigures(**values)
