"""Records every benchmark's result, with its machine, versions and baseline, as one line of JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from framesift.bench.machine import machine
from framesift.bench.rows import RESULTS


@pytest.fixture
def compared() -> Callable[..., None]:
    """Names the case of a benchmark and the case of the same group that it is measured against."""

    def name(benchmark: Any, *, group: str, case: str, baseline: str) -> None:
        benchmark.group = group
        benchmark.extra_info.update(case=case, baseline=baseline)

    return name


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write ``results/cpu_<date>.jsonl``; ratios are of medians within this run."""
    plugin = getattr(session.config, "_benchmarksession", None)
    done = [b for b in getattr(plugin, "benchmarks", []) if b.stats and "case" in b.extra_info]
    if not done:
        return
    medians = {(b.group, b.extra_info["case"]): b.stats.median for b in done}
    told = machine()
    rows = []
    for b in done:
        baseline = medians.get((b.group, b.extra_info["baseline"]))
        rows.append(
            {
                "group": b.group,
                **b.extra_info,
                "median_ms": round(1e3 * b.stats.median, 4),
                "min_ms": round(1e3 * b.stats.min, 4),
                "rounds": b.stats.rounds,
                "times_faster": round(baseline / b.stats.median, 3) if baseline else None,
                **told,
            }
        )
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"cpu_{told['date']}.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    print(f"\n{'group':36}{'case':16}{'median':>12}{'vs baseline':>14}")
    for row in rows:
        print(f"{row['group']:36}{row['case']:16}{row['median_ms']:>9.2f} ms{row['times_faster'] or 0:>12.2f} x")
    print(f"written to {path}")
