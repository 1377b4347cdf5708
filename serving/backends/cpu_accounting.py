"""Processor time of a model's process, as metrics of the server."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

COMPUTE = "framesift_compute_seconds_total"
PROCESS = "framesift_process_seconds_total"
_DESCRIPTIONS = {
    COMPUTE: "Processor time of a model's own work, without the exchange of tensors with the server",
    PROCESS: "Processor time of a model's process, all threads together",
}


class CpuAccounting:
    """Counts processor seconds of this process.

    Args:
        server: the module ``triton_python_backend_utils``.
        name: the model's name, the metrics' label.
    """

    def __init__(self, server: Any, name: str) -> None:
        # A metric lives as long as its family's object does.
        self._families = {
            metric: server.MetricFamily(name=metric, description=text, kind=server.MetricFamily.COUNTER)
            for metric, text in _DESCRIPTIONS.items()
        }
        self._metrics = {metric: family.Metric(labels={"model": name}) for metric, family in self._families.items()}
        self._reported = dict.fromkeys(_DESCRIPTIONS, 0.0)
        self._compute_s = 0.0

    @contextlib.contextmanager
    def computing(self) -> Iterator[None]:
        """Marks the block as the model's own work."""
        before = time.process_time()
        try:
            yield
        finally:
            self._compute_s += time.process_time() - before

    def report(self) -> None:
        """Tell the server of those that have passed since the last time."""
        for metric, total in ((COMPUTE, self._compute_s), (PROCESS, time.process_time())):
            self._metrics[metric].increment(total - self._reported[metric])
            self._reported[metric] = total
