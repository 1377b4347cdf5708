"""What the door answers over plain HTTP: health, and metrics for Prometheus."""

from __future__ import annotations

import re
from collections.abc import Mapping

from .access import Access
from .asgi import Scope, Send
from .call import peer
from .health import Health
from .observing import Observing
from .public import Public
from .status import Refusal

_MODEL_READY = re.compile(r"/v2/models/([^/]+)(?:/versions/1)?/ready")
_OK, _BAD_REQUEST, _UNAUTHORIZED, _NOT_FOUND, _NOT_ALLOWED = 200, 400, 401, 404, 405
_TEXT = b"text/plain; version=0.0.4; charset=utf-8"


class Plain:
    """Answers GET requests."""

    def __init__(self, publics: Mapping[str, Public], health: Health, observing: Observing, access: Access) -> None:
        self._publics, self._health, self._observing, self._access = publics, health, observing, access

    async def answer(self, scope: Scope, send: Send) -> None:
        """Answer one request."""
        try:
            status, text = await self._answer(scope)
        except Refusal as refusal:
            status, text = _UNAUTHORIZED, f"{refusal}\n"
        body = text.encode()
        headers = [(b"content-type", _TEXT), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    async def _answer(self, scope: Scope) -> tuple[int, str]:
        method, path = scope["method"], scope["path"]
        if method not in ("GET", "HEAD"):
            return _NOT_ALLOWED, "health and metrics are read with GET; inference is answered over gRPC\n"
        if path == "/v2/health/live":
            return _OK, ""
        if path == "/v2/health/ready":
            return (_OK, "") if self._health.ready else (_BAD_REQUEST, "searches are not answered at present\n")
        if path == "/metrics":
            self._access.caller(peer(scope), dict(scope["headers"]).get(b"authorization"))
            return _OK, await self._observing.text()
        if (found := _MODEL_READY.fullmatch(path)) is not None and found[1] in self._publics:
            ready = await self._health.model_ready(self._publics[found[1]])
            return (_OK, "") if ready else (_BAD_REQUEST, f"{found[1]} can't be called at present\n")
        return _NOT_FOUND, "there are /v2/health/live, /v2/health/ready and /metrics, and gRPC\n"
