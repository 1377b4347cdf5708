"""What is kept of a client that has left."""

from __future__ import annotations

import asyncio
import gc
import weakref

import pytest

from framesift.serving.front.sending import telling
from framesift.serving.front.status import ClientGone


class Held:
    """What a request holds."""


def test_nothing_is_kept_of_requests_whose_clients_have_left() -> None:
    gone = OSError("the client has left")
    held: list[weakref.ref[Held]] = []

    async def send(event: object) -> None:
        # As pyvoy does: one object for all.
        future = asyncio.get_running_loop().create_future()
        future.set_exception(gone)
        await future

    async def answer() -> None:
        own = Held()
        held.append(weakref.ref(own))
        try:
            raise KeyError("what the answer tells of")
        except KeyError:
            await telling(send)({"type": "http.response.start"})

    async def answers() -> None:
        for _ in range(10):
            with pytest.raises(ClientGone):
                await answer()

    asyncio.run(answers())
    gc.collect()
    assert [each() for each in held] == [None] * 10
    assert gone.__traceback__ is None
