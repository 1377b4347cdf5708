"""Sending a client's calls to its server: what a failure becomes, and which calls are tried again."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tritonclient.utils import InferenceServerException

from ...export.bundle.models import GALLERY_LIST, GALLERY_LOOKUP, INDEX_VIDEO, LIKE_SEARCHES, SEARCH
from .connection import AWAY_S, BUSY_S, busy, nobody, passing, translate, waits, with_trace

if TYPE_CHECKING:
    from . import wire
    from .transport import Transport

_TRIED_AGAIN = {SEARCH, *LIKE_SEARCHES, GALLERY_LOOKUP, GALLERY_LIST, INDEX_VIDEO}


class Sending:
    """The calls of one client.

    Args:
        retry: try calls again that may be answered in a moment.
        headers: what every call carries.
    """

    def __init__(self, transport: Transport, address: str, headers: dict[str, str] | None, *, retry: bool) -> None:
        self._transport, self._address, self._headers, self._retry = transport, address, headers, retry
        self._met = False

    async def once(self, method: str, *arguments: Any, timeout_s: float | None) -> Any:
        """What a method of tritonclient's client returns.

        Raises:
            FramesiftError: it failed.
        """
        try:
            return await self._send(method, *arguments, timeout_s=timeout_s)
        except InferenceServerException as error:
            raise translate(error, self._address, timeout_s) from error

    async def ready(self, *, timeout_s: float | None) -> bool:
        """Whether the server says that it is."""
        try:
            return bool(await self._send("is_server_ready", timeout_s=timeout_s))
        except InferenceServerException:
            return False

    async def infer(self, call: wire.Call[Any], *, timeout_s: float | None) -> Any:
        """What a model answers; it is asked again where that may help.

        A server that has never answered is not waited for where nobody listens at its address: it is not restarted,
        but not there. One that has is waited for while it is started again; one that has too much to do, not as long.

        Raises:
            FramesiftError: it failed.
        """
        patient = call.model == INDEX_VIDEO
        again = waits(timeout_s, patient=patient) if self._retry and call.model in _TRIED_AGAIN else iter(())
        away_s, busy_s = 0.0, 0.0
        while True:
            try:
                return await self._send(
                    "infer", call.model, call.inputs, parameters=call.parameters, timeout_s=timeout_s
                )
            except InferenceServerException as error:
                wait = next(again, None) if self._met and passing(error) else None
                if wait is None:
                    raise translate(error, self._address, timeout_s) from error
                if busy(error):
                    away_s, busy_s = 0.0, busy_s + wait
                else:
                    away_s += wait
                if away_s > AWAY_S or (busy_s > BUSY_S and not patient):
                    raise translate(error, self._address, timeout_s) from error
            await self._transport.sleep(wait)

    async def _send(self, method: str, *arguments: Any, timeout_s: float | None, **others: Any) -> Any:
        headers = with_trace(self._headers)

        def call(server: Any) -> Any:
            asked: Callable[..., Any] = getattr(server, method)
            return asked(*arguments, headers=headers, client_timeout=timeout_s, **others)

        try:
            answer = await self._transport.send(call)
        except InferenceServerException as error:
            self._met = self._met or not nobody(error)
            raise
        self._met = True
        return answer
