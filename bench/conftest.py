"""Records every benchmark's result as a row of its file's kind: ``bench_int8.py`` writes ``int8``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from framesift.bench.schema.files import RESULTS, write
from framesift.bench.schema.rows import Timing


@pytest.fixture
def compared(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Names the case of a benchmark and the case of the same group that it is measured against."""

    def name(benchmark: Any, *, group: str, case: str, baseline: str) -> None:
        benchmark.group = group
        kind = Path(request.path).stem.removeprefix("bench_")
        benchmark.extra_info.update(kind=kind, case=case, baseline=baseline)

    return name


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--results", type=Path, default=RESULTS, help="folder that rows are added to")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Ratios are of medians within this run."""
    plugin = getattr(session.config, "_benchmarksession", None)
    done = [b for b in getattr(plugin, "benchmarks", []) if b.stats and "case" in b.extra_info]
    medians = {(b.group, b.extra_info["case"]): b.stats.median for b in done}
    for kind in dict.fromkeys(b.extra_info["kind"] for b in done):
        rows = [_row(b, medians) for b in done if b.extra_info["kind"] == kind]
        print(f"\n{'group':36}{'case':16}{'median':>12}{'vs baseline':>14}")
        for row in rows:
            print(f"{row.group:36}{row.case:16}{row.median_ms:>9.2f} ms{row.times_faster or 0:>12.2f} x")
        print(f"rows in {write(kind, rows, session.config.getoption('--results'))}")


def _row(done: Any, medians: dict[tuple[str, str], float]) -> Timing:
    told, stats = done.extra_info, done.stats
    baseline = medians.get((done.group, told["baseline"]))
    return Timing(
        group=done.group,
        case=told["case"],
        baseline=told["baseline"],
        median_ms=round(1e3 * stats.median, 4),
        min_ms=round(1e3 * stats.min, 4),
        rounds=stats.rounds,
        times_faster=round(baseline / stats.median, 3) if baseline else None,
        bytes_per_video=told.get("bytes_per_video"),
    )
