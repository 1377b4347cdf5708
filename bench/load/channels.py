"""What carries requests: bytes in, bytes out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import grpc  # type: ignore[import-untyped]
from tritonclient.utils import InferenceServerException

from ...serving.client.connection import channel_options, passing

OK = "OK"
_METHOD = "/inference.GRPCInferenceService/ModelInfer"


@dataclass(frozen=True)
class Answer:
    """The status of a request, ``OK`` or another; whether a client would try it again; what was answered, or said."""

    status: str
    refused: bool = False
    body: bytes = b""
    details: str = ""


class Channel(ABC):
    """One connection; made where a loop runs."""

    def __init__(self, address: str) -> None:
        self.address = address

    @abstractmethod
    async def send(self, body: bytes, timeout_s: float) -> Answer:
        """Send a request and wait for what becomes of it."""

    @abstractmethod
    async def close(self) -> None:
        """Close the connection."""


class GrpcChannel(Channel):
    """The connection that framesift's clients make, for calls of ``ModelInfer``."""

    def __init__(self, address: str) -> None:
        super().__init__(address)
        self._channel = grpc.aio.insecure_channel(address, options=channel_options(address))
        self._call: Any = self._channel.unary_unary(_METHOD)
        self._known: dict[tuple[str, str], Answer] = {}

    async def send(self, body: bytes, timeout_s: float) -> Answer:
        """As ``Channel.send``."""
        call = self._call(body, timeout=timeout_s)
        code = await call.code()
        if code is grpc.StatusCode.OK:
            return Answer(OK, body=await call)
        return self._failure(code.name, await call.details() or "")

    async def close(self) -> None:
        """As ``Channel.close``."""
        await self._channel.close()

    def _failure(self, status: str, details: str) -> Answer:
        if (status, details) not in self._known:
            error = InferenceServerException(details, f"StatusCode.{status}")
            self._known[status, details] = Answer(status, passing(error), details=details)
        return self._known[status, details]
