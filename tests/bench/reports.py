"""Reports of clients and rows of load, made up."""

from __future__ import annotations

from typing import Any

import numpy as np

from framesift.bench.load.channels import OK
from framesift.bench.load.jobs import Report
from framesift.bench.schema.load import Percentiles, Window

OUTCOMES = [(OK, False), ("UNAVAILABLE", True), ("INTERNAL", False)]


def report(
    intended: list[float], latencies: list[float], outcome: list[int], late: float = 0.0, retried: int = 0
) -> Report:
    due = np.array(intended, float)
    again = np.full(len(due), retried)
    return Report(due, due + late, due + np.array(latencies, float), np.array(outcome, np.int64), OUTCOMES, 0.5, again)


def window(**told: Any) -> Window:
    """A row of which only ``told`` matters."""
    rest = {"scenario": "search", "loop": "open", "model": "m", "videos": 1, "duration_s": 1.0, "requests": 1000}
    rest |= {"qps": 1.0, "sent_qps": 1.0, "latency": Percentiles(), "client_cpu_s": 0.0}
    return Window(**{**rest, **told})
