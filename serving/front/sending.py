"""Sending to a client that may have left."""

from __future__ import annotations

from .asgi import Event, Send
from .status import ClientGone


def telling(send: Send) -> Send:
    """``send`` that raises ClientGone where nobody is there to read."""

    async def told(event: Event) -> None:
        try:
            await send(event)
        except OSError as error:
            # pyvoy raises one and the same object for all requests. Its traceback grows with each, and holds what they
            # held: a kilobyte for every client that leaves, for ever.
            error.__traceback__ = error.__context__ = None
            raise ClientGone from None

    return told
