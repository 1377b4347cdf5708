"""Spans of requests, sent to a collector by OTLP: https://opentelemetry.io/docs/specs/otlp.

OpenTelemetry's library is loaded where tracing is on, and nowhere else. Spans are sent by a thread of its own, which
alone waits for the collector; where that does not keep up, spans are dropped.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING

from .record import UPSTREAM, Record
from .status import Code
from .trace_context import PARENT, STATE

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor
    from opentelemetry.trace import Span

_NAME = "framesift"
# How long the end waits for the collector.
_STOP_S = 2.0
_FAULTS = {Code.INTERNAL, Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED, Code.UNIMPLEMENTED}


class Sent:
    """A request to Triton server while its answer is awaited; gives the header that makes its spans ours' children."""

    def __init__(self, span: Span) -> None:
        self._span = span

    def __enter__(self) -> str:
        context = self._span.get_span_context()
        return f"traceparent: 00-{context.trace_id:032x}-{context.span_id:016x}-01\r\n"

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._span.end()


class Tracing:
    """Makes spans.

    Args:
        processor: what takes them: see ``otlp``.
        ratio: the share of requests that are traced where their clients have no trace; where they have one, it says.
    """

    def __init__(self, processor: SpanProcessor, ratio: float) -> None:
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.sampling import ALWAYS_ON
        from opentelemetry.trace import Link, SpanKind, StatusCode, set_span_in_context
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._provider = TracerProvider(ALWAYS_ON, shutdown_on_exit=False)
        self._provider.add_span_processor(processor)
        self._ratio = ratio
        self._tracer = self._provider.get_tracer(_NAME)
        self._propagator = TraceContextTextMapPropagator()
        self._within, self._link, self._kinds, self._error = set_span_in_context, Link, SpanKind, StatusCode.ERROR

    def chosen(self) -> bool:
        """Whether a request without a trace begins one. The library would ask its sampler, for 40 us."""
        return random.random() < self._ratio

    def begin(self, record: Record, headers: Mapping[bytes, bytes]) -> None:
        """Begin the span of a call that is to be traced, in its client's trace if it has one."""
        carried = {name.decode(): headers[name].decode("latin-1") for name in (PARENT, STATE) if name in headers}
        context = self._propagator.extract(carried) if carried else None
        self._begin(
            record, self._tracer.start_span(record.method, context, self._kinds.SERVER, start_time=record.at_ns)
        )

    def begin_within(self, record: Record, call: Span) -> None:
        """Begin the span of one request of a stream, whose own is ``call``."""
        context = self._within(call)
        self._begin(record, self._tracer.start_span(record.method, context, start_time=record.at_ns))

    def send(self, model: str, spans: Sequence[Span], rows: int = 1) -> Sent:
        """Begin the span of a request to Triton server.

        Args:
            model: which is asked.
            spans: of the requests that it answers: it is a child of the first, and all are linked with it.
            rows: the request's.
        """
        links = [self._link(span.get_span_context()) for span in spans] if len(spans) > 1 or rows > 1 else []
        context = self._within(spans[0])
        about: dict[str, str | int] = {"framesift.model": model, "framesift.batch_rows": rows}
        sent = self._tracer.start_span(UPSTREAM, context, self._kinds.CLIENT, about, links)
        for span in spans[1:]:
            span.add_link(sent.get_span_context())
        return Sent(sent)

    def end(self, record: Record) -> None:
        """End a request's span, whose stages become its children."""
        span, offset = record.span, record.at_ns - int(record.began * 1e9)
        assert span is not None
        context = self._within(span)
        for name, since, until in record.stages:
            # Of what was sent there is a span already.
            if name != UPSTREAM or record.shared:
                stage = self._tracer.start_span(name, context, start_time=offset + int(since * 1e9))
                stage.end(offset + int(until * 1e9))
        # Over HTTP a request's method is known later.
        span.update_name(record.method)
        span.set_attributes(
            {
                "rpc.method": record.method,
                "rpc.grpc.status_code": int(record.code),
                "framesift.caller": record.caller,
                "framesift.model": record.model,
                "framesift.rows": len(record.texts),
                "framesift.batch_rows": record.batch_rows,
                "framesift.bytes_in": record.received,
                "framesift.bytes_out": record.sent,
                **({"framesift.cause": record.cause} if record.cause else {}),
            }
        )
        if record.code in _FAULTS:
            span.set_status(self._error, record.code.name)
        span.end(offset + int(record.ended * 1e9))

    def close(self) -> None:
        """Send what is left, as far as the collector takes it soon."""
        closing = threading.Thread(target=self._provider.shutdown, daemon=True)
        closing.start()
        closing.join(_STOP_S)

    def _begin(self, record: Record, span: Span) -> None:
        record.span, record.trace_id = span, f"{span.get_span_context().trace_id:032x}"


def otlp(url: str) -> SpanProcessor:
    """Sends spans by OTLP over HTTP, many together; its other options are the environment's, as OpenTelemetry has them.

    Args:
        url: of the collector's traces.
    """
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    return BatchSpanProcessor(OTLPSpanExporter(url))
