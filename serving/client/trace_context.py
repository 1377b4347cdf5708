"""The caller's trace, told to the server: https://www.w3.org/TR/trace-context."""

from __future__ import annotations

import sys


def with_trace(headers: dict[str, str] | None) -> dict[str, str] | None:
    """``headers``, and those that name the trace and the span in which this is called, if there is one.

    Only a program that uses OpenTelemetry has a span, so nothing is imported where it is not loaded.
    """
    if "opentelemetry.trace" not in sys.modules:
        return headers
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carried: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carried)
    return {**(headers or {}), **carried} if carried else headers
