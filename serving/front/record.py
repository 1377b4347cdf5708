"""What one request came to: metrics, the access log and traces are told of it once it has ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .status import Code, cause, code

if TYPE_CHECKING:
    from opentelemetry.trace import Span

# The stages of a request, in their order. What happens between them takes no time worth telling.
RECEIVE, TOKENISE, QUEUE, UPSTREAM = STAGES = ("receive", "tokenise", "queue", "upstream")


@dataclass(slots=True)
class Record:
    """One call, or one request of a stream.

    Attributes:
        model: the public model that was asked for; empty where none was.
        texts: those that were sent, as far as they were read.
        batch_rows: rows of the upstream request with which a search went.
        received, sent: bytes of the messages.
        cause: why it was refused; see ``status.cause``.
        trace_id: the trace that it belongs to, in hexadecimal digits; empty where it belongs to none.
        sampled: its client traces it.
        span: of the request, while it is traced.
        shared: the request to Triton server answered others too, and has its span in the trace of the first.
        stages: those that have ended: name, and from when to when.
        told: who counts it, where its body chose another deployment than the one that let it in.
        at_ns: when it began, by the world's clock; all other times are those of ``now``.
    """

    method: str
    caller: str = ""
    model: str = ""
    texts: Sequence[str] = ()
    batch_rows: int = 0
    received: int = 0
    sent: int = 0
    code: Code = Code.OK
    cause: str = ""
    trace_id: str = ""
    sampled: bool = False
    span: Span | None = None
    shared: bool = False
    stages: list[tuple[str, float, float]] = field(default_factory=list)
    told: Callable[[Record], object] | None = None
    at_ns: int = field(default_factory=time.time_ns)
    began: float = field(default_factory=time.monotonic)
    ended: float = 0.0

    def fail(self, error: Exception) -> None:
        """It ended in an error, which is not kept: it holds what the request held."""
        self.code, self.cause = code(error), cause(error)

    def stage(self, name: str, since: float, until: float | None = None) -> float:
        """A stage has ended, just now unless said otherwise; returns when."""
        ended = now() if until is None else until
        self.stages.append((name, since, ended))
        return ended


# An event loop's clock may have milliseconds alone: uvloop's has.
now = time.monotonic
