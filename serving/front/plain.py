"""What the door answers over plain HTTP: health, metrics, KServe v2, searches and videos as JSON, and the page."""

from __future__ import annotations

import re

from ...export.bundle.errors import AccessDenied, InvalidRequest, ServerUnavailable
from .access import Access
from .aliases import FIELD, HEADER, Aliases
from .asgi import Receive, Scope, Send
from .browsers import Browsers, authorization
from .call import peer
from .deployed import Deployed
from .gate import Gate
from .page.page import Page
from .record import Record
from .replies import Reply, send_reply
from .roles import UNKNOWN
from .status import HTTP, Refusal, code
from .tokens import Caller
from .v1.problems import problem

_MODEL_READY = re.compile(r"/v2/models/([^/]+)(?:/versions/1)?/ready")
_FIELD = re.compile(rb"(?:^|&)%s=([^&]*)" % FIELD.encode())
_OK, _BAD_REQUEST, _NOT_FOUND, _NOT_ALLOWED = 200, 400, 404, 405
_TEXT = b"text/plain; version=0.0.4; charset=utf-8"


class Plain:
    """Answers HTTP requests that are no gRPC.

    Args:
        page: what is to be seen in a browser, if anything.
    """

    def __init__(
        self,
        aliases: Aliases,
        access: Access,
        gate: Gate,
        browsers: Browsers,
        page: Page | None = None,
    ) -> None:
        self._aliases, self._access, self._gate, self._page = aliases, access, gate, page
        self._browsers = browsers

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request.

        Raises:
            ClientGone: the client has left.
        """
        path: str = scope["path"]
        if self._page is not None and self._page.has(path):
            await send_reply(scope, send, await self._page.answer(scope, receive))
            return
        try:
            served = self._aliases.chosen(_alias(scope))
        except InvalidRequest as error:
            await send_reply(scope, send, await self._refused(scope, error))
            return
        if path.startswith("/v1/"):
            await send_reply(scope, send, await served.v1.answer(scope, receive))
        elif path == "/v2" or (path.startswith("/v2/") and not path.startswith("/v2/health/") and not _ready(path)):
            await send_reply(scope, send, await served.rest.answer(scope, receive))
        else:
            await send_reply(scope, send, await self._text(scope, served))

    async def _refused(self, scope: Scope, error: InvalidRequest) -> Reply:
        """The answer to whoever chooses what there is not, and may call."""

        headers = dict(scope["headers"])

        async def refuse(caller: Caller, record: Record) -> Reply:
            self._browsers.check_if_one(scope["method"], headers)
            raise error

        shown = authorization(headers)
        return await self._aliases.now.calls.answer(scope, UNKNOWN, refuse, problem, authorization=shown)

    async def _text(self, scope: Scope, served: Deployed) -> Reply:
        try:
            status, text = await self._answer(scope, served)
        except (Refusal, AccessDenied, ServerUnavailable) as refusal:
            status, text = HTTP[code(refusal)], f"{refusal}\n"
        return Reply(status, text.encode(), _TEXT)

    async def _answer(self, scope: Scope, served: Deployed) -> tuple[int, str]:
        method, path = scope["method"], scope["path"]
        if method not in ("GET", "HEAD"):
            return _NOT_ALLOWED, "health and metrics are read with GET\n"
        if path == "/v2/health/live":
            return _OK, ""
        if path == "/v2/health/ready":
            return (_OK, "") if served.health.ready else (_BAD_REQUEST, "searches are not answered at present\n")
        found = _ready(path)
        if path != "/metrics" and (found is None or found[1] not in served.publics):
            page = "; `framesift serve --page` has a page for browsers, too" if self._page is None else ""
            known = "/v1/openapi.json, /v2, /v2/health/live, /v2/health/ready and /metrics, and gRPC"
            return _NOT_FOUND, f"there are {known}{page}\n"
        call = "metrics" if found is None else "ModelReady"
        headers = dict(scope["headers"])
        caller = self._access.caller(peer(scope), headers.get(b"authorization"), call)
        self._browsers.check_if_one(method, headers)
        with self._gate.inside(caller, call):
            if found is None:
                return _OK, await self._aliases.metrics()
            ready = await served.health.model_ready(served.publics[found[1]])
            return (_OK, "") if ready else (_BAD_REQUEST, f"{found[1]} can't be called at present\n")


def _alias(scope: Scope) -> bytes | None:
    """What a request chooses, in a header or, where browsers send none, in its query string."""
    for name, value in scope["headers"]:
        if name == HEADER:
            chosen: bytes = value
            return chosen
    found = _FIELD.search(scope.get("query_string", b""))
    return None if found is None else found[1]


def _ready(path: str) -> re.Match[str] | None:
    return _MODEL_READY.fullmatch(path)
