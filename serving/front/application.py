"""The front door as an ASGI application: any server that speaks HTTP/2 with trailers can hold it."""

from __future__ import annotations

import contextlib
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

from .asgi import Receive, Scope, Send
from .lean import without_grpc
from .settings import VARIABLE, Settings
from .status import ClientGone

if TYPE_CHECKING:
    from .door import Door

_LOG = logging.getLogger(__name__)
_FORMAT = "framesift door: %(message)s"


class Application:
    """Answers requests once its lifespan has started. Its settings are in the file that the environment names."""

    def __init__(self) -> None:
        self._door: Door | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A request, or the lifespan of the application itself."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http" and self._door is not None:
            with contextlib.suppress(ClientGone):
                await self._door.answer(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            without_grpc()
            from .door import Door

            self._door = Door(Settings.read(Path(os.environ[VARIABLE])))
            self._door.start()
        except Exception as error:
            await send({"type": "lifespan.startup.failed", "message": f"{type(error).__name__}: {error}"})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._door.stop()
        await send({"type": "lifespan.shutdown.complete"})


logging.basicConfig(level=logging.WARNING, format=_FORMAT)
app = Application()
