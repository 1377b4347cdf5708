"""Sending to a client that may have left, or that does not read what it is sent."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator
from typing import Any, ClassVar

from .asgi import Event, Send
from .status import ClientGone, Code

# How long a part of an answer may wait until its client has read enough of those before it.
UNREAD_S = 30.0
_END = {"type": "http.response.body", "body": b""}
_CANCELLED = {"type": "http.response.trailers", "headers": [(b"grpc-status", b"%d" % Code.CANCELLED)]}


class _Taken:
    """What is awaited until a server has taken an event, which was handed to it already."""

    __slots__ = ("_taken",)

    def __init__(self, taken: Awaitable[None]) -> None:
        self._taken = taken

    def __await__(self) -> Generator[Any, None, None]:
        try:
            yield from self._taken.__await__()
        except OSError as error:
            # pyvoy raises one and the same object for all requests. Its traceback grows with each, and holds what they
            # held: a kilobyte for every client that leaves, for ever.
            error.__traceback__ = error.__context__ = None
            raise ClientGone from None


class _Answer:
    """One answer, which is given up where its client reads too little of it."""

    # An event loop does not hold its tasks.
    _given_up: ClassVar[set[asyncio.Task[None]]] = set()

    def __init__(self, send: Send, sent: Callable[[int], None], slow: Callable[[int], None]) -> None:
        self._send, self._sent, self._slow = send, sent, slow
        self._trailers = False

    def send(self, event: Event) -> Awaitable[None]:
        if body := event.get("body"):
            self._sent(len(body))
        self._trailers = self._trailers or bool(event.get("trailers"))
        taken = self._send(event)
        # A server waits for room before it takes a part that others follow, and never at an answer's end.
        return self._in_time(taken) if event.get("more_body") else _Taken(taken)

    async def _in_time(self, taken: Awaitable[None]) -> None:
        # Not ``wait_for``: servers do not expect that ``send`` is cancelled.
        waiting = asyncio.ensure_future(taken)
        if not (await asyncio.wait([waiting], timeout=UNREAD_S))[0]:
            self._slow(1)
            rest = asyncio.ensure_future(self._rest(waiting))
            self._given_up.add(rest)
            rest.add_done_callback(self._given_up.discard)
            raise ClientGone
        await _Taken(waiting)

    async def _rest(self, waiting: Awaitable[None]) -> None:
        """Nothing can be sent before there is room, not even that nothing will follow."""
        try:
            await _Taken(waiting)
            for event in (_END, _CANCELLED) if self._trailers else (_END,):
                await _Taken(self._send(event))
        except ClientGone:
            pass
        finally:
            self._slow(-1)


def telling(send: Send, sent: Callable[[int], None], slow: Callable[[int], None]) -> Send:
    """``send`` whose awaitables raise ClientGone where nobody is there to read, or reads too little for ``UNREAD_S``.

    Args:
        sent: told of the bytes of every part of an answer.
        slow: told 1 once an answer is given up, and -1 once its client has read what lay there, or is gone.
    """
    return _Answer(send, sent, slow).send
