"""KServe v2 over HTTP: what models are, and inference."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from tritonclient.grpc import service_pb2 as pb

from ...export.bundle.errors import InvalidRequest
from . import body, describing, json_requests
from .access import Access
from .asgi import Receive, Scope
from .call import peer
from .gate import Gate
from .inference import Inference
from .jobs import Jobs
from .messages import SMALL_BYTES
from .public import Public
from .record import Record
from .records import Records
from .status import ClientGone, Code, Refusal, told
from .tokens import Caller
from .upstream import Upstream
from .waiting import Client

_PATH = re.compile(
    r"/v2(?:/models/(?P<model>[^/]+)(?:/versions/(?P<version>[^/]+))?(?:/(?P<what>config|stats|infer))?)?"
)
_ALL = "/v2/models/stats"
_LONGEST_NUMBER = 20
_HEAD_BYTES = b"inference-header-content-length"
# What a client is told of each of the door's codes.
_STATUS = {
    Code.OK: 200,
    Code.INVALID_ARGUMENT: 400,
    Code.UNAUTHENTICATED: 401,
    Code.PERMISSION_DENIED: 403,
    Code.NOT_FOUND: 404,
    Code.UNIMPLEMENTED: 405,
    Code.RESOURCE_EXHAUSTED: 413,
    Code.CANCELLED: 499,
    Code.INTERNAL: 500,
    Code.UNAVAILABLE: 503,
    Code.DEADLINE_EXCEEDED: 504,
}

Answer = tuple[bytes, Sequence[bytes]]


class Rest:
    """Answers requests below /v2, errors as JSON too.

    Args:
        version: framesift's.
    """

    def __init__(
        self,
        publics: Mapping[str, Public],
        access: Access,
        gate: Gate,
        jobs: Jobs,
        inference: Inference,
        upstream: Upstream,
        version: str,
        records: Records,
    ) -> None:
        self._publics, self._access, self._gate, self._jobs = publics, access, gate, jobs
        self._inference = inference
        self._upstream, self._version, self._records = upstream, version, records

    async def answer(self, scope: Scope, receive: Receive) -> tuple[int, Answer]:
        """The status, the JSON, and the tensors that follow it.

        Raises:
            ClientGone: the client has left.
        """
        headers = dict(scope["headers"])
        # Methods and codes have the names that gRPC gives them.
        record = self._records.begin("unknown", headers)
        try:
            found = _PATH.fullmatch(scope["path"])
            if found is None:
                raise Refusal(Code.NOT_FOUND, f"there is nothing at {scope['path'][:100]}")
            caller = self._access.caller(peer(scope), headers.get(b"authorization"))
            self._records.known(record, caller.name, headers)
            with self._gate.inside(caller.name):
                if found["what"] == "infer":
                    record.method = "ModelInfer"
                    named = found["model"], found["version"] or ""
                    answer = await self._infer(scope, headers, receive, named, caller, record)
                else:
                    if scope["method"] not in ("GET", "HEAD"):
                        raise Refusal(Code.UNIMPLEMENTED, f"{scope['path'][:100]} is read with GET")
                    record.method, values = await self._told(scope["path"], found, caller)
                    answer = json.dumps(values).encode(), ()
        except ClientGone as error:
            record.fail(error)
            self._records.end_call(record)
            raise
        except Exception as error:
            record.fail(error)
            answer = json.dumps({"error": told(error)[1]}).encode(), ()
        record.sent = sum(map(len, (answer[0], *answer[1])))
        self._records.end_call(record)
        return _STATUS[record.code], answer

    async def _told(self, path: str, found: re.Match[str], caller: Caller) -> tuple[str, dict[str, Any]]:
        if found["model"] is None:
            return "ServerMetadata", describing.server_metadata(self._version)
        if path == _ALL:
            return "ModelStatistics", await describing.statistics(None, self._publics.values(), self._upstream)
        public = self._jobs.public(found["model"], found["version"] or "")
        if found["what"] == "config":
            return "ModelConfig", describing.config(public, full=caller.may(public.roles))
        if found["what"] == "stats":
            found_ = await describing.statistics(public, self._publics.values(), self._upstream)
            return "ModelStatistics", found_
        return "ModelMetadata", describing.metadata(public)

    async def _infer(
        self,
        scope: Scope,
        headers: Mapping[bytes, bytes],
        receive: Receive,
        named: tuple[str, str],
        caller: Caller,
        record: Record,
    ) -> Answer:
        if scope["method"] != "POST":
            raise Refusal(Code.UNIMPLEMENTED, "inference is asked for with POST")
        if headers.get(b"content-encoding", b"identity") != b"identity":
            raise InvalidRequest("send the request without a content-encoding")
        self._jobs.allowed(*named, caller)
        with self._jobs.arriving(caller, _announced(headers)):
            raw = await body.whole(receive, SMALL_BYTES)
        record.received = len(raw)
        request, form = json_requests.read_request(*named, raw, _head_bytes(headers))
        job = self._jobs.read(request, caller, record)
        response = await self._inference.run(job, Client(caller.name, receive=receive), record)
        return json_requests.answer(pb.ModelInferResponse.FromString(response), form)


def _announced(headers: Mapping[bytes, bytes]) -> int:
    """The bytes that a request's body will have, as far as that is said."""
    told = headers.get(b"content-length", b"")
    return min(int(told), SMALL_BYTES) if told.isdigit() and len(told) < _LONGEST_NUMBER else SMALL_BYTES


def _head_bytes(headers: Mapping[bytes, bytes]) -> int | None:
    if (told := headers.get(_HEAD_BYTES)) is None:
        return None
    if not told.isdigit() or len(told) > len(str(SMALL_BYTES)):
        raise InvalidRequest("Inference-Header-Content-Length is no number of bytes")
    return int(told)
