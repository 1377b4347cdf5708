"""What the door answers over plain HTTP: health, metrics for Prometheus, and KServe v2."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from ...export.bundle.errors import ServerUnavailable
from .access import Access
from .asgi import Receive, Scope, Send
from .call import peer
from .gate import Gate
from .health import Health
from .observing import Observing
from .public import Public
from .rest import Rest
from .status import Code, Refusal

_MODEL_READY = re.compile(r"/v2/models/([^/]+)(?:/versions/1)?/ready")
_OK, _BAD_REQUEST, _UNAUTHORIZED, _NOT_FOUND, _NOT_ALLOWED, _BUSY = 200, 400, 401, 404, 405, 503
_TEXT, _JSON, _BYTES = b"text/plain; version=0.0.4; charset=utf-8", b"application/json", b"application/octet-stream"
_HEAD_BYTES = b"inference-header-content-length"


class Plain:
    """Answers HTTP requests that are no gRPC."""

    def __init__(
        self,
        publics: Mapping[str, Public],
        health: Health,
        observing: Observing,
        access: Access,
        gate: Gate,
        rest: Rest,
    ) -> None:
        self._publics, self._health, self._observing = publics, health, observing
        self._access, self._gate, self._rest = access, gate, rest

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request.

        Raises:
            ClientGone: the client has left.
        """
        path: str = scope["path"]
        if path == "/v2" or (path.startswith("/v2/") and not path.startswith("/v2/health/") and not _ready(path)):
            status, (head, tensors) = await self._rest.answer(scope, receive)
            await _send(scope, send, status, head, tensors)
            return
        try:
            status, text = await self._answer(scope)
        except (Refusal, ServerUnavailable) as refusal:
            known = isinstance(refusal, Refusal) and refusal.code is Code.UNAUTHENTICATED
            status, text = _UNAUTHORIZED if known else _BUSY, f"{refusal}\n"
        await _send(scope, send, status, text.encode(), (), _TEXT)

    async def _answer(self, scope: Scope) -> tuple[int, str]:
        method, path = scope["method"], scope["path"]
        if method not in ("GET", "HEAD"):
            return _NOT_ALLOWED, "health and metrics are read with GET\n"
        if path == "/v2/health/live":
            return _OK, ""
        if path == "/v2/health/ready":
            return (_OK, "") if self._health.ready else (_BAD_REQUEST, "searches are not answered at present\n")
        found = _ready(path)
        if path != "/metrics" and (found is None or found[1] not in self._publics):
            return _NOT_FOUND, "there are /v2, /v2/health/live, /v2/health/ready and /metrics, and gRPC\n"
        caller = self._access.caller(peer(scope), dict(scope["headers"]).get(b"authorization"))
        with self._gate.inside(caller.name):
            if found is None:
                return _OK, await self._observing.text()
            ready = await self._health.model_ready(self._publics[found[1]])
            return (_OK, "") if ready else (_BAD_REQUEST, f"{found[1]} can't be called at present\n")


def _ready(path: str) -> re.Match[str] | None:
    return _MODEL_READY.fullmatch(path)


async def _send(
    scope: Scope, send: Send, status: int, head: bytes, tensors: Sequence[bytes], kind: bytes = _JSON
) -> None:
    body = b"".join((head, *tensors))
    headers = [(b"content-type", _BYTES if tensors else kind), (b"content-length", b"%d" % len(body))]
    if tensors:
        headers.append((_HEAD_BYTES, b"%d" % len(head)))
    if status == _BUSY:
        headers.append((b"retry-after", b"1"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
