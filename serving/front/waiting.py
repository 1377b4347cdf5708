"""Waiting for an answer as long as its client does."""

from __future__ import annotations

import asyncio
from typing import Any, TypeVar

from ...export.bundle.errors import DeadlineExceeded
from .asgi import Receive
from .background import Background
from .status import ClientGone

# A request that has waited for so long begins to look whether its client is still there. A server may tell at once that
# a request has ended and later that its client has left, so it is asked again and again, less and less often.
_LOOK_S = 0.02
_SELDOM_S = 0.25

Answer = TypeVar("Answer")
_WATCHES = Background()


class Client:
    """Who waits for one answer.

    Args:
        caller: who it is, as far as sharing the server goes.
        deadline: when its patience ends, by the event loop's clock; None for never.
        receive: tells that it has left, once its request was read; None where somebody else watches that.
    """

    def __init__(self, caller: str, deadline: float | None = None, receive: Receive | None = None) -> None:
        self.caller = caller
        self._deadline, self._receive = deadline, receive
        self._why: Exception | None = None
        self._answer: asyncio.Future[Any] | None = None

    def leave(self) -> None:
        """It has left, and waits for nothing any more."""
        self._stop(ClientGone())

    async def wait(self, answer: asyncio.Future[Answer]) -> Answer:
        """The outcome of ``answer``, which is cancelled when the client stops waiting.

        Raises:
            DeadlineExceeded: its time is over.
            ClientGone: it has left.
        """
        loop = asyncio.get_running_loop()
        timers = []
        self._answer = answer
        if self._why is not None:
            answer.cancel()
        if self._deadline is not None:
            late = DeadlineExceeded("no answer within the time that the client gave")
            timers.append(loop.call_at(self._deadline, self._stop, late))
        if self._receive is not None:
            timers.append(loop.call_later(_LOOK_S, self._look))
        try:
            return await answer
        except asyncio.CancelledError:
            if self._why is not None:
                raise self._why from None
            raise
        finally:
            for timer in timers:
                timer.cancel()

    def _stop(self, why: Exception) -> None:
        self._why = self._why or why
        if self._answer is not None:
            self._answer.cancel()

    def _look(self) -> None:
        _WATCHES.start(self._watch())

    async def _watch(self) -> None:
        """Ends by itself soon after the answer: servers do not expect that ``receive`` is cancelled."""
        assert self._receive is not None
        assert self._answer is not None
        pause_s = _LOOK_S
        while not self._answer.done():
            if (await self._receive())["type"] == "http.disconnect":
                self.leave()
            await asyncio.sleep(pause_s)
            pause_s = min(_SELDOM_S, 1.5 * pause_s)
