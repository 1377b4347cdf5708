"""The header that names a trace, and what looks like it."""

from __future__ import annotations

import pytest

from framesift.serving.front.trace_context import trace_of

TRACE = b"4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = b"00f067aa0ba902b7"


@pytest.mark.parametrize(
    ("header", "found"),
    [
        (b"00-%s-%s-01" % (TRACE, SPAN), (TRACE.decode(), True)),
        (b"00-%s-%s-00" % (TRACE, SPAN), (TRACE.decode(), False)),
        (b"00-%s-%s-03" % (TRACE, SPAN), (TRACE.decode(), True)),
        (b"00-%s-%s-fe" % (TRACE, SPAN), (TRACE.decode(), False)),
        # Of a version to come.
        (b"01-%s-%s-01-more" % (TRACE, SPAN), (TRACE.decode(), True)),
        (b"00-%s-%s-01-more" % (TRACE, SPAN), ("", False)),
        (b"ff-%s-%s-01" % (TRACE, SPAN), ("", False)),
        (b"00-%s-%s-01" % (b"0" * 32, SPAN), ("", False)),
        (b"00-%s-%s-01" % (TRACE, b"0" * 16), ("", False)),
        (b"00-%s-%s-01" % (TRACE.upper(), SPAN), ("", False)),
        (b"00-%s-01" % TRACE, ("", False)),
        (b"", ("", False)),
    ],
)
def test_traces_and_their_flags(header: bytes, found: tuple[str, bool]) -> None:
    assert trace_of(header) == found
