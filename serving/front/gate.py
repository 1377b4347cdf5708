"""Which calls are let in, and which of them are still to be answered."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ...export.bundle.errors import ServerUnavailable
from .admission import Admission
from .status import Code, Refusal

# Calls that are open at once: each takes memory even while it only waits.
MAX_CALLS = 2048


class Gate:
    """What every call passes, however it came.

    Attributes:
        unanswered: calls whose answers are not written yet, streams left out: those have no end of their own.
        stopping: the run is to end, so nobody else is let in.
    """

    def __init__(self) -> None:
        self._calls = Admission(MAX_CALLS)
        self.unanswered = 0
        self.stopping = False

    @contextmanager
    def inside(self, caller: str) -> Iterator[None]:
        """The time in which a caller's call is open.

        Raises:
            ServerUnavailable: there are too many.
            Refusal: the run is to end.
        """
        if self.stopping:
            raise Refusal(Code.UNAVAILABLE, ServerUnavailable("the server is being stopped").wire())
        if not self._calls.enter(caller):
            raise ServerUnavailable(f"the server has {self._calls.rows} open calls already: try again")
        try:
            yield
        finally:
            self._calls.leave(caller)

    @contextmanager
    def answering(self) -> Iterator[None]:
        """The time until an answer is written."""
        self.unanswered += 1
        try:
            yield
        finally:
            self.unanswered -= 1
