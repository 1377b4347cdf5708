"""What the run tells of itself: metrics, Triton server's among them."""

from __future__ import annotations

from collections.abc import Sequence

from .crowd import Crowd
from .health import Health
from .inference import Inference
from .metrics import Counter, Gauge, Metric, exposition
from .records import Records
from .sockets import descriptors
from .supervision import Supervision
from .upstream import Upstream


class Observing:
    """Tells all metrics of the run.

    Args:
        triton: Triton server's socket for metrics.
    """

    def __init__(
        self,
        records: Records,
        inference: Inference,
        health: Health,
        supervision: Supervision,
        crowd: Crowd,
        triton: Upstream,
    ) -> None:
        self._records, self._supervision, self._crowd, self._triton = records, supervision, crowd, triton
        batches = inference.batches
        self._own: Sequence[Metric] = (
            inference.batch_rows,
            Gauge("framesift_texts_admitted", "Texts of searches that have not ended", lambda: inference.texts),
            Gauge("framesift_texts_waiting", "Texts of searches that wait to be sent", lambda: batches.waiting),
            Gauge("framesift_texts_in_flight", "Texts of searches that are being answered", lambda: batches.in_flight),
            Gauge(
                "framesift_requests_open", "Requests for anything else that have not ended", lambda: inference.requests
            ),
            Gauge("framesift_ready", "Whether searches are answered", lambda: health.ready),
            Gauge("framesift_descriptors", "Files and connections that the door has open", descriptors),
        )

    async def text(self) -> str:
        """All metrics: Triton server's as it tells them, then the door's."""
        restarts = Counter("framesift_restarts_total", "How often a process was started again", ("process",))
        for process, count in self._supervision.restarts.items():
            restarts.add(process, by=count)
        own = exposition((*self._records.metrics, *self._own, restarts, self._crowd.ended))
        return await self._triton.text("/metrics") + own
