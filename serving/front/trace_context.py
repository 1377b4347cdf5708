"""Which trace a request belongs to: the W3C's trace context, https://www.w3.org/TR/trace-context."""

from __future__ import annotations

import re

PARENT, STATE = b"traceparent", b"tracestate"
# Nothing may follow in version 00, which is the present one; ff is none.
_PARENT = re.compile(rb"(?!ff|00.{54})[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})(-.*)?")
_SAMPLED = 1


def trace_of(parent: bytes) -> tuple[str, bool]:
    """The trace that the header ``traceparent`` names, in 32 hexadecimal digits, and whether it is sampled.

    The name is empty where the header is none.
    """
    found = _PARENT.fullmatch(parent)
    return ("", False) if found is None else (found[1].decode("ascii"), bool(int(found[2], 16) & _SAMPLED))
