"""Every request's record, from its beginning to its end: what it is counted in, written into and traced by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .access_log import AccessLog
from .metrics import Counter, Histogram, Metric
from .record import Record, now
from .trace_context import PARENT, trace_of
from .tracing import Tracing

_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
_STAGE_SECONDS = (0.0001, 0.0005, *_SECONDS)


class Records:
    """Begins and ends records.

    Args:
        log: the access log, where there is one.
        tracing: where spans go, if anywhere.
        served: the deployment that answers, where there are several.
    """

    def __init__(self, log: AccessLog | None = None, tracing: Tracing | None = None, *, served: str = "") -> None:
        self._log, self._tracing, self._served = log, tracing, served
        self._calls = Counter(
            "framesift_calls_total", "Calls over gRPC or HTTP, by method and status", ("method", "code")
        )
        self._seconds = Histogram("framesift_call_seconds", "Seconds of a call", _SECONDS, ("method",))
        self._refused = Counter("framesift_refused_total", "Requests refused, by model and cause", ("model", "cause"))
        self._stages = Histogram(
            "framesift_stage_seconds", "Seconds of a stage of a request", _STAGE_SECONDS, ("model", "stage")
        )

    @property
    def metrics(self) -> Sequence[Metric]:
        """What they are counted in."""
        lost = Counter("framesift_log_lines_lost_total", "Lines that could not be written to the access log")
        lost.add(by=0 if self._log is None else self._log.dropped)
        return self._calls, self._seconds, self._refused, self._stages, lost

    def begin(self, method: str, headers: Mapping[bytes, bytes]) -> Record:
        """A call begins."""
        record = Record(method)
        if PARENT in headers:
            record.trace_id, record.sampled = trace_of(headers[PARENT])
        return record

    def known(self, record: Record, caller: str, headers: Mapping[bytes, bytes]) -> None:
        """Its caller may call. Who may not begins no span: spans cost more than refusals."""
        record.caller = caller
        if self._tracing is not None and (record.sampled or (not record.trace_id and self._tracing.chosen())):
            self._tracing.begin(record, headers)

    def begin_within(self, call: Record) -> Record:
        """A request of a stream begins."""
        record = Record(call.method, call.caller, trace_id=call.trace_id)
        if self._tracing is not None and call.span is not None:
            self._tracing.begin_within(record, call.span)
        return record

    def end_call(self, record: Record) -> None:
        """A call has ended."""
        self.end(record)
        self._calls.add(record.method, record.code.name)
        self._seconds.observe(record.ended - record.began, record.method)

    def end(self, record: Record) -> None:
        """A call has ended, or a request of a stream."""
        record.ended = now()
        if record.cause:
            self._refused.add(record.model, record.cause)
        for name, since, until in record.stages:
            self._stages.observe(until - since, record.model, name)
        if self._log is not None:
            self._log.add(record, self._served)
        if record.span is not None and self._tracing is not None:
            self._tracing.end(record)
