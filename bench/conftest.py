"""Records every benchmark's result, with its machine, versions and baseline, as one line of JSON."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Callable
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

_RESULTS = Path(__file__).parent / "results"


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
    machine = _machine()
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
                **machine,
            }
        )
    _RESULTS.mkdir(exist_ok=True)
    path = _RESULTS / f"cpu_{machine['date']}.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    print(f"\n{'group':36}{'case':16}{'median':>12}{'vs baseline':>14}")
    for row in rows:
        print(f"{row['group']:36}{row['case']:16}{row['median_ms']:>9.2f} ms{row['times_faster'] or 0:>12.2f} x")
    print(f"written to {path}")


def _machine() -> dict[str, Any]:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return {
        "cpu": model or platform.processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        **{name: version(name) for name in ("onnxruntime", "torch", "numpy")},
        "commit": commit.stdout.strip(),
        "date": datetime.now(timezone.utc).date().isoformat(),
    }
