"""What the door answers over plain HTTP: health, metrics, KServe v2, searches and videos as JSON, and the page."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ...export.bundle.errors import ServerUnavailable
from .access import Access
from .asgi import Receive, Scope, Send
from .call import peer
from .gate import Gate
from .health import Health
from .observing import Observing
from .page.page import Page
from .public import Public
from .replies import Reply, send_reply
from .rest import Rest
from .status import Code, Refusal
from .v1.router import V1

_MODEL_READY = re.compile(r"/v2/models/([^/]+)(?:/versions/1)?/ready")
_OK, _BAD_REQUEST, _UNAUTHORIZED, _NOT_FOUND, _NOT_ALLOWED, _BUSY = 200, 400, 401, 404, 405, 503
_TEXT = b"text/plain; version=0.0.4; charset=utf-8"


class Plain:
    """Answers HTTP requests that are no gRPC.

    Args:
        page: what is to be seen in a browser, if anything.
    """

    def __init__(
        self,
        publics: Mapping[str, Public],
        health: Health,
        observing: Observing,
        access: Access,
        gate: Gate,
        rest: Rest,
        v1: V1,
        page: Page | None = None,
    ) -> None:
        self._publics, self._health, self._observing = publics, health, observing
        self._access, self._gate, self._rest, self._v1, self._page = access, gate, rest, v1, page

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request.

        Raises:
            ClientGone: the client has left.
        """
        path: str = scope["path"]
        if path.startswith("/v1/"):
            await send_reply(scope, send, await self._v1.answer(scope, receive))
        elif path == "/v2" or (path.startswith("/v2/") and not path.startswith("/v2/health/") and not _ready(path)):
            await send_reply(scope, send, await self._rest.answer(scope, receive))
        elif self._page is not None and self._page.has(path):
            await send_reply(scope, send, await self._page.answer(scope, receive))
        else:
            await send_reply(scope, send, await self._text(scope))

    async def _text(self, scope: Scope) -> Reply:
        try:
            status, text = await self._answer(scope)
        except (Refusal, ServerUnavailable) as refusal:
            known = isinstance(refusal, Refusal) and refusal.code is Code.UNAUTHENTICATED
            status, text = _UNAUTHORIZED if known else _BUSY, f"{refusal}\n"
        return Reply(status, text.encode(), _TEXT)

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
            return (
                _NOT_FOUND,
                "there are /v1/openapi.json, /v2, /v2/health/live, /v2/health/ready and /metrics, and gRPC\n",
            )
        caller = self._access.caller(peer(scope), dict(scope["headers"]).get(b"authorization"))
        with self._gate.inside(caller.name):
            if found is None:
                return _OK, await self._observing.text()
            ready = await self._health.model_ready(self._publics[found[1]])
            return (_OK, "") if ready else (_BAD_REQUEST, f"{found[1]} can't be called at present\n")


def _ready(path: str) -> re.Match[str] | None:
    return _MODEL_READY.fullmatch(path)
