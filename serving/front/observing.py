"""The door's metrics, with Triton server's."""

from __future__ import annotations

from collections.abc import Sequence

from .health import Health
from .inference import Inference
from .metrics import Counter, Gauge, Histogram, Metric, exposition
from .supervision import Supervision
from .upstream import Upstream

_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)


class Observing:
    """Counts calls, and tells all metrics of the run.

    Args:
        triton: Triton server's socket for metrics.
    """

    def __init__(self, inference: Inference, health: Health, supervision: Supervision, triton: Upstream) -> None:
        self._supervision, self._triton = supervision, triton
        self.calls = Counter("framesift_calls_total", "gRPC calls by method and status", ("method", "code"))
        self.seconds = Histogram("framesift_call_seconds", "Seconds of a gRPC call", _SECONDS, ("method",))
        batches = inference.batches
        self._own: Sequence[Metric] = (
            self.calls,
            self.seconds,
            inference.refused,
            inference.batch_rows,
            Gauge("framesift_texts_admitted", "Texts of searches that have not ended", lambda: inference.texts),
            Gauge("framesift_texts_waiting", "Texts of searches that wait to be sent", lambda: batches.waiting),
            Gauge("framesift_texts_in_flight", "Texts of searches that are being answered", lambda: batches.in_flight),
            Gauge(
                "framesift_requests_open", "Requests for anything else that have not ended", lambda: inference.requests
            ),
            Gauge("framesift_ready", "Whether searches are answered", lambda: health.ready),
        )

    async def text(self) -> str:
        """All metrics: Triton server's as it tells them, then the door's."""
        restarts = Counter("framesift_restarts_total", "How often a process was started again", ("process",))
        for process, count in self._supervision.restarts.items():
            restarts.add(process, by=count)
        return await self._triton.text("/metrics") + exposition((*self._own, restarts))
