"""NVIDIA's perf_analyzer against the same server, where it is installed: its figures stand beside ours."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tritonclient.utils import triton_to_np_dtype

from ...export.bundle.errors import ServerError
from ...serving.client import wire
from ...serving.repository.plan import SEARCH

PROGRAM = "perf_analyzer"
# It repeats a level until it is content with how steady it is; ours are measured once.
_TRIALS, _STEADY_PERCENT = 3, 999
# At these levels of a sweep; it takes up to three times as long as we do.
_CONCURRENCY, _FRACTIONS = (1, 4, 16), (0.5, 0.8)
_COLUMNS = {"qps": "Inferences/Second", "p50_ms": "p50 latency", "p95_ms": "p95 latency", "p99_ms": "p99 latency"}


class PerfAnalyzer:
    """Runs searches for ``queries`` against the server at ``address``, ``seconds`` a trial; files go into ``folder``.

    Latencies of a rate are counted from when a request was sent, not from when it was due.
    """

    def __init__(self, address: str, queries: Sequence[str], top: int, seconds: float, folder: Path) -> None:
        self._address, self._seconds = address, seconds
        self._data, self._report = folder / "queries.json", folder / "report.csv"
        self._data.write_text(json.dumps(input_data(queries, top)), encoding="utf-8")

    def __call__(self, row: dict[str, Any]) -> None:
        """Measure the level of a row of ours, if it is one of those, and put what was found into it.

        Raises:
            ServerError: perf_analyzer failed; the message is what it printed last.
        """
        if row["loop"] == "closed" and row["concurrency"] in _CONCURRENCY:
            level = [f"--concurrency-range={row['concurrency']}"]
        elif row["loop"] == "open" and row["fraction"] in _FRACTIONS:
            level = [f"--request-rate-range={row['offered_qps']}", "--request-distribution=poisson"]
        else:
            return
        done = subprocess.run(
            [
                PROGRAM,
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
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            lines = (done.stderr or done.stdout).strip().splitlines()
            raise ServerError(f"{PROGRAM} failed: {' '.join(lines[-3:])}")
        row["perf_analyzer"] = figures(self._report.read_text(encoding="utf-8"))


def installed() -> bool:
    """Whether the program is on the PATH."""
    return shutil.which(PROGRAM) is not None


def input_data(queries: Sequence[str], top: int) -> dict[str, Any]:
    """The requests for ``queries`` as perf_analyzer reads them."""
    return {
        "data": [
            {
                tensor.name(): {
                    "content": np.frombuffer(tensor._get_content(), triton_to_np_dtype(tensor.datatype())).tolist(),
                    "shape": list(tensor.shape()[1:]),
                }
                for tensor in wire.search_calls([query], top, 1)[0].inputs
            }
            for query in queries
        ]
    }


def figures(report: str) -> dict[str, float | None]:
    """Throughput and latencies of the one level in a report; a column that it lacks is None."""
    row = next(csv.DictReader(report.splitlines()))
    values = {name: float(row[column]) if row.get(column) else None for name, column in _COLUMNS.items()}
    # Latencies are in microseconds.
    return {name: value if value is None or name == "qps" else round(value / 1e3, 3) for name, value in values.items()}
