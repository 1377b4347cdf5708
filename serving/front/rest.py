"""KServe v2 over HTTP: what models are, and inference."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from tritonclient.grpc import service_pb2 as pb

from ...export.bundle.errors import InvalidRequest
from . import body, describing, json_requests
from .asgi import Receive, Scope
from .browsers import Browsers
from .http_calls import HttpCalls
from .inference import Inference
from .jobs import Jobs
from .messages import SMALL_BYTES
from .public import Public
from .record import Record
from .replies import Reply, json_reply
from .roles import UNKNOWN
from .statistics import statistics
from .status import HTTP, Code, Refusal, told
from .tokens import Caller
from .upstream import Upstream
from .waiting import Client

_PATH = re.compile(
    r"/v2(?:/models/(?P<model>[^/]+)(?:/versions/(?P<version>[^/]+))?(?:/(?P<what>config|stats|infer))?)?"
)
_ALL = "/v2/models/stats"
_METHODS = {None: "ModelMetadata", "config": "ModelConfig", "stats": "ModelStatistics", "infer": "ModelInfer"}
_HEAD_BYTES = b"inference-header-content-length"
_BYTES = b"application/octet-stream"


class Rest:
    """Answers requests below /v2, errors as JSON too.

    Args:
        version: framesift's.
    """

    def __init__(
        self,
        publics: Mapping[str, Public],
        calls: HttpCalls,
        jobs: Jobs,
        inference: Inference,
        upstream: Upstream,
        version: str,
        browsers: Browsers,
    ) -> None:
        self._browsers = browsers
        self._publics, self._calls, self._jobs = publics, calls, jobs
        self._inference, self._upstream, self._version = inference, upstream, version

    async def answer(self, scope: Scope, receive: Receive) -> Reply:
        """The answer to one request.

        Raises:
            ClientGone: the client has left.
        """
        found = _PATH.fullmatch(scope["path"])

        async def work(caller: Caller, record: Record) -> Reply:
            if found is None:
                raise Refusal(Code.NOT_FOUND, f"there is nothing at {scope['path'][:100]}")
            self._browsers.check_if_one(scope["method"], dict(scope["headers"]))
            if found["what"] == "infer":
                return await self._infer(scope, receive, (found["model"], found["version"] or ""), caller, record)
            if scope["method"] not in ("GET", "HEAD"):
                raise Refusal(Code.UNIMPLEMENTED, f"{scope['path'][:100]} is read with GET")
            return json_reply(await self._told(scope["path"], found, caller))

        return await self._calls.answer(scope, _method(scope["path"], found), work, _failed)

    async def _told(self, path: str, found: re.Match[str], caller: Caller) -> dict[str, Any]:
        if found["model"] is None:
            return describing.server_metadata(self._version)
        if path == _ALL:
            return await statistics(None, self._publics.values(), self._upstream)
        public = self._jobs.public(found["model"], found["version"] or "")
        if found["what"] == "config":
            return describing.config(public, full=caller.may(public.roles))
        if found["what"] == "stats":
            return await statistics(public, self._publics.values(), self._upstream)
        return describing.metadata(public)

    async def _infer(
        self,
        scope: Scope,
        receive: Receive,
        named: tuple[str, str],
        caller: Caller,
        record: Record,
    ) -> Reply:
        headers = dict(scope["headers"])
        if scope["method"] != "POST":
            raise Refusal(Code.UNIMPLEMENTED, "inference is asked for with POST")
        if headers.get(b"content-encoding", b"identity") != b"identity":
            raise InvalidRequest("send the request without a content-encoding")
        self._jobs.allowed(*named, caller)
        with self._jobs.arriving(caller, body.announced(headers, SMALL_BYTES)):
            raw = await body.whole(receive, SMALL_BYTES)
        record.received = len(raw)
        request, form = json_requests.read_request(*named, raw, _head_bytes(headers))
        job = self._jobs.read(request, caller, record)
        response = await self._inference.run(job, Client(caller.name, receive=receive), record)
        head, tensors = json_requests.answer(pb.ModelInferResponse.FromString(response), form)
        if not tensors:
            return Reply(200, head)
        return Reply(200, b"".join((head, *tensors)), _BYTES, ((_HEAD_BYTES, b"%d" % len(head)),))


def _method(path: str, found: re.Match[str] | None) -> str:
    """The name that gRPC gives what is asked for."""
    if found is None:
        return UNKNOWN
    if found["model"] is None:
        return "ServerMetadata"
    return "ModelStatistics" if path == _ALL else _METHODS[found["what"]]


def _failed(error: Exception) -> Reply:
    code, message = told(error)
    return json_reply({"error": message}, HTTP[code])


def _head_bytes(headers: Mapping[bytes, bytes]) -> int | None:
    if (told := headers.get(_HEAD_BYTES)) is None:
        return None
    if not told.isdigit() or len(told) > len(str(SMALL_BYTES)):
        raise InvalidRequest("Inference-Header-Content-Length is no number of bytes")
    return int(told)
