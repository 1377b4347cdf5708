"""The gRPC methods: KServe v2's inference service and gRPC's own health service."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import DecodeError
from tritonclient.grpc import service_pb2 as pb

from ...export.bundle.errors import InvalidRequest
from . import describing
from .call import Call
from .health import Health
from .inference import Inference
from .jobs import Jobs
from .public import Public
from .roles import UNKNOWN
from .statistics import statistics
from .status import Code, Refusal
from .tokens import Caller
from .upstream import Upstream
from .waiting import Client

SERVICE = "/inference.GRPCInferenceService/"
STREAM = f"{SERVICE}ModelStreamInfer"
_HEALTH_CHECK = "/grpc.health.v1.Health/Check"
# HealthCheckResponse: its one field, ``status``, is 1 for serving and 2 for not serving.
_SERVING, _NOT_SERVING = b"\x08\x01", b"\x08\x02"
# The longest message that names something, and how long the health check, which is everybody's, waits for it.
_NAME_BYTES, _STRANGERS_S = 4 << 10, 5.0


class Service:
    """Answers unary calls.

    Args:
        version: framesift's.
    """

    def __init__(
        self,
        publics: Mapping[str, Public],
        jobs: Jobs,
        inference: Inference,
        health: Health,
        upstream: Upstream,
        version: str,
    ) -> None:
        self._publics, self._jobs, self._inference = publics, jobs, inference
        self._health, self._upstream, self._version = health, upstream, version
        self._methods: dict[str, Callable[[Call, Caller], Awaitable[bytes]]] = {
            f"{SERVICE}ModelInfer": self._infer,
            f"{SERVICE}ServerLive": self._live,
            f"{SERVICE}ServerReady": self._ready,
            f"{SERVICE}ModelReady": self._model_ready,
            f"{SERVICE}ServerMetadata": self._server_metadata,
            f"{SERVICE}ModelMetadata": self._metadata,
            f"{SERVICE}ModelConfig": self._config,
            f"{SERVICE}ModelStatistics": self._statistics,
            _HEALTH_CHECK: self._check,
        }

    def method(self, path: str) -> str:
        """A method's name in ``roles.CALLS``."""
        return path.rpartition("/")[2] if path in self._methods or path == STREAM else UNKNOWN

    async def answer(self, call: Call, caller: Caller) -> bytes:
        """The message that answers a call.

        Raises:
            Refusal: the door has no such method.
            FramesiftError: the method's own error.
        """
        method = self._methods.get(call.path)
        if method is None:
            raise Refusal(Code.UNIMPLEMENTED, f"there is no method {call.path[:100]} here")
        return await method(call, caller)

    async def _infer(self, call: Call, caller: Caller) -> bytes:
        client = Client(caller.name, call.deadline(), call.receive)
        prefix = await call.messages.begin()
        if prefix is None:
            raise Refusal(Code.INVALID_ARGUMENT, "the call has no message")
        job = await self._jobs.receive(call.messages, prefix, caller, call.record)
        try:
            await call.messages.end()
        except BaseException:
            await job.held.aclose()
            raise
        return await self._inference.run(job, client, call.record)

    async def _live(self, call: Call, caller: Caller) -> bytes:
        return _encoded(pb.ServerLiveResponse(live=True))

    async def _ready(self, call: Call, caller: Caller) -> bytes:
        return _encoded(pb.ServerReadyResponse(ready=self._health.ready))

    async def _model_ready(self, call: Call, caller: Caller) -> bytes:
        public = self._named(await _message(call, pb.ModelReadyRequest))
        return _encoded(pb.ModelReadyResponse(ready=await self._health.model_ready(public)))

    async def _server_metadata(self, call: Call, caller: Caller) -> bytes:
        return _told(describing.server_metadata(self._version), pb.ServerMetadataResponse())

    async def _metadata(self, call: Call, caller: Caller) -> bytes:
        public = self._named(await _message(call, pb.ModelMetadataRequest))
        return _told(describing.metadata(public), pb.ModelMetadataResponse())

    async def _config(self, call: Call, caller: Caller) -> bytes:
        public = self._named(await _message(call, pb.ModelConfigRequest))
        found = describing.config(public, full=caller.may(public.roles))
        return _told({"config": found}, pb.ModelConfigResponse())

    async def _statistics(self, call: Call, caller: Caller) -> bytes:
        request = await _message(call, pb.ModelStatisticsRequest)
        public = self._named(request) if request.name else None
        found = await statistics(public, self._publics.values(), self._upstream)
        return _told(found, pb.ModelStatisticsResponse())

    async def _check(self, call: Call, caller: Caller) -> bytes:
        prefix = await call.messages.begin(_STRANGERS_S)
        # HealthCheckRequest: one field, the service's name. A model's name asks for that model alone.
        name = (await call.messages.whole(prefix, _NAME_BYTES))[2:].decode("utf-8", "replace") if prefix else ""
        if name in ("", SERVICE.strip("/")):
            ready = self._health.ready
        elif name in self._publics:
            ready = await self._health.model_ready(self._publics[name])
        else:
            raise Refusal(Code.NOT_FOUND, f"there is no service {name[:60]!r} here")
        return _SERVING if ready else _NOT_SERVING

    def _named(self, request: Any) -> Public:
        return self._jobs.public(request.name, request.version)


async def _message(call: Call, kind: Any) -> Any:
    prefix = await call.messages.begin()
    try:
        return kind.FromString(await call.messages.whole(prefix, _NAME_BYTES) if prefix else b"")
    except DecodeError as error:
        raise InvalidRequest(f"the message is no {kind.DESCRIPTOR.name}") from error


def _told(values: dict[str, Any], message: Any) -> bytes:
    return _encoded(json_format.ParseDict(values, message, ignore_unknown_fields=True))


def _encoded(message: Any) -> bytes:
    encoded: bytes = message.SerializeToString()
    return encoded
