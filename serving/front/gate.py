"""Which calls are let in, and which of them are still to be answered."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ...export.bundle.errors import ServerUnavailable
from .admission import Admission
from .status import Code, Refusal
from .tokens import Caller

# Calls that are open at once: each takes memory even while it only waits. Strangers, who need no token for some calls,
# take nobody's room who has one, and whoever probes health none of those who look at the page.
MAX_CALLS, MAX_STRANGERS = 2048, 256
# Of those that ask Triton server beside everybody's queue: each takes the event loop and the server as long as some
# searches do.
MAX_ASKED = 16
_PROBES = frozenset({"Check", "ServerLive", "ServerReady"})
_ASKED = frozenset({"metrics", "ModelStatistics", "ModelReady"})


class Gate:
    """What every call passes, however it came.

    Attributes:
        unanswered: calls whose answers are not written yet, streams left out: those have no end of their own.
        stopping: the run is to end, so nobody else is let in.
    """

    def __init__(self) -> None:
        self._calls, self._probes = Admission(MAX_CALLS), Admission(MAX_CALLS)
        self._strangers, self._asked = Admission(MAX_STRANGERS), Admission(MAX_ASKED)
        self.unanswered = 0
        self.stopping = False

    @contextmanager
    def inside(self, caller: Caller, call: str) -> Iterator[None]:
        """The time in which a caller's call is open.

        Args:
            call: its name in ``roles.CALLS``.

        Raises:
            ServerUnavailable: there are too many.
            Refusal: the run is to end.
        """
        if self.stopping:
            raise Refusal(Code.UNAVAILABLE, ServerUnavailable("the server is being stopped").wire())
        calls = self._asked if call in _ASKED else self._calls
        if not caller.roles:
            calls = self._probes if call in _PROBES else self._strangers
        if not calls.enter(caller.name):
            raise ServerUnavailable(f"the server has {calls.rows} open calls already: try again")
        try:
            yield
        finally:
            calls.leave(caller.name)

    @contextmanager
    def answering(self) -> Iterator[None]:
        """The time until an answer is written."""
        self.unanswered += 1
        try:
            yield
        finally:
            self.unanswered -= 1
