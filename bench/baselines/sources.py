"""Searches as services that aren't framesift's are asked: JSON over HTTP, and PyTriton's tensors."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from tritonclient.grpc import InferInput, InferResult

from ...export.bundle import ports
from ...serving.client.wire import Call
from ..load.channels import OK, Answer, Channel
from ..load.sources import Found, Request, Searching, kserve

# The name under which PyTriton serves the search.
PYTRITON_MODEL = "pytriton_search"
# The status of an overloaded server.
_TRY_AGAIN = (429, 503)


class HttpChannel(Channel):
    """As many connections as there are requests in flight; bodies are posted to ``/search``."""

    def __init__(self, address: str) -> None:
        import aiohttp

        super().__init__(address)
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))

    async def send(self, body: bytes, timeout_s: float) -> Answer:
        """As ``Channel.send``."""
        import aiohttp

        headers, timeout = {"Content-Type": "application/json"}, aiohttp.ClientTimeout(timeout_s)
        try:
            async with self._session.post(
                f"http://{self.address}/search", data=body, headers=headers, timeout=timeout
            ) as answer:
                found = await answer.read()
        except (TimeoutError, aiohttp.ClientError) as error:
            return Answer(type(error).__name__, details=str(error))
        if answer.status == 200:
            return Answer(OK, body=found)
        return Answer(f"HTTP {answer.status}", answer.status in _TRY_AGAIN, details=found.decode(errors="replace"))

    async def close(self) -> None:
        """As ``Channel.close``."""
        await self._session.close()


@dataclass(frozen=True)
class HttpSearches(Searching):
    """JSON to a service of ``http_service``."""

    queries: Sequence[str]
    top: int = 10
    channel: ClassVar[type[Channel]] = HttpChannel

    def each(self) -> list[Request]:
        """As ``Searching.each``."""
        return [Request(json.dumps({"text": text, "top": self.top}).encode(), _read) for text in self.queries]


@dataclass(frozen=True)
class PytritonSearches(Searching):
    """Strings to the function of ``pytriton_service``."""

    queries: Sequence[str]
    top: int = 10

    def each(self) -> list[Request]:
        """As ``Searching.each``."""
        top = InferInput(ports.TOP, (1, 1), "INT32").set_data_from_numpy(np.array([[self.top]], np.int32))
        return [kserve(Call(PYTRITON_MODEL, [_text(query), top], _found)) for query in self.queries]


def _read(body: bytes) -> Found:
    found = json.loads(body)
    return found["ids"], found["scores"]


def _text(query: str) -> InferInput:
    return InferInput(ports.TEXT, (1, 1), "BYTES").set_data_from_numpy(np.array([[query.encode()]], np.object_))


def _found(answer: InferResult) -> Found:
    return [id_.decode() for id_ in answer.as_numpy(ports.IDS)[0]], answer.as_numpy(ports.SCORES)[0].tolist()
