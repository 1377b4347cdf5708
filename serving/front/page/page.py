"""The page: files that come with framesift, and the cookie of a token. Whatever it shows it asks for below /v1."""

from __future__ import annotations

import hashlib
import html
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from string import Template

from ....export.bundle.errors import InvalidRequest
from .. import body
from ..access import Access
from ..asgi import Receive, Scope
from ..browsers import COOKIE, Browsers
from ..call import peer
from ..http_calls import HttpCalls
from ..record import Record
from ..replies import Reply
from ..status import Code, Refusal
from ..tokens import Caller
from ..v1.fields import read_json
from ..v1.films import KINDS
from ..v1.problems import problem

_SESSION, _STATIC = "/session", "/static/"
_NO_CONTENT, _UNCHANGED = 204, 304
_MEDIA = {
    ".html": b"text/html; charset=utf-8",
    ".css": b"text/css; charset=utf-8",
    ".js": b"text/javascript; charset=utf-8",
    ".svg": b"image/svg+xml",
}
# Nothing from elsewhere, nothing written into the page, and no frame of somebody else around it.
_POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; media-src 'self' blob:; "
    b"connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = (
    (b"content-security-policy", _POLICY),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=()"),
)
_TOKEN = re.compile(r"[\w.~+/=-]{1,512}", re.ASCII)
_LARGEST_BODY = 4096


@dataclass(frozen=True)
class Shown:
    """What the page says of its server; what depends on the model that answers it asks for.

    Attributes:
        files: the server may read files of videos.
        tokens: callers need tokens.
        models: names of the models to choose from, where there are several, the default first.
    """

    files: bool
    tokens: bool
    models: Sequence[str] = ()


class Page:
    """Answers what a browser asks for to show the page."""

    def __init__(self, calls: HttpCalls, access: Access, browsers: Browsers, shown: Shown) -> None:
        self._calls, self._access, self._browsers = calls, access, browsers
        self._files = _assets(shown)

    def has(self, path: str) -> bool:
        """Whether a path belongs to the page."""
        return path in self._files or path == _SESSION

    async def answer(self, scope: Scope, receive: Receive) -> Reply:
        """The answer to one request.

        Raises:
            ClientGone: the client has left.
        """
        path, method, headers = scope["path"], scope["method"], dict(scope["headers"])

        async def work(caller: Caller, record: Record) -> Reply:
            self._browsers.check(method, headers, page=True)
            if path == _SESSION:
                return await self._session(scope, receive)
            if method not in ("GET", "HEAD"):
                raise Refusal(Code.UNIMPLEMENTED, f"{path} is read with GET")
            return _unless_known(self._files[path], headers)

        name = "session" if path == _SESSION else "page"
        return (await self._calls.answer(scope, name, work, problem)).with_headers(*_HEADERS)

    async def _session(self, scope: Scope, receive: Receive) -> Reply:
        """Put a token into a cookie that no script can read, or take it away."""
        token = ""
        if scope["method"] == "POST":
            token = read_json(await body.whole(receive, _LARGEST_BODY), ("token",)).get("token", "")
            if not isinstance(token, str) or not _TOKEN.fullmatch(token):
                raise InvalidRequest("the token is no text of letters, digits and ._~+/=-")
            self._access.caller(peer(scope), b"Bearer " + token.encode())
        elif scope["method"] != "DELETE":
            raise Refusal(Code.UNIMPLEMENTED, f"{_SESSION} takes POST and DELETE")
        # Other programs of the same machine get cookies too, whatever their port: fewer of them have this path.
        cookie = f"{COOKIE}={token}; Path=/v1; HttpOnly; SameSite=Strict{'' if token else '; Max-Age=0'}"
        cookie += "; Secure" if scope.get("scheme") == "https" else ""
        return Reply(_NO_CONTENT, headers=[(b"set-cookie", cookie.encode()), (b"cache-control", b"no-store")])


def _assets(shown: Shown) -> dict[str, Reply]:
    """The page's files by their paths."""
    found = {file.name: file.read_bytes() for file in (files(__package__) / "static").iterdir()}
    modules = sorted(name for name in found if name.endswith(".js"))
    values = {
        "files": "yes" if shown.files else "",
        "tokens": "yes" if shown.tokens else "",
        "models": ",".join(shown.models),
        "accept": ",".join(("video/*", *KINDS)),
        "example": ",".join(("video/*", *KINDS, "image/png", "image/jpeg", "image/webp")),
    }
    values = {name: html.escape(value) for name, value in values.items()}
    values["preloads"] = "\n  ".join(f'<link rel="modulepreload" href="{_STATIC}{name}">' for name in modules)
    page = Template(found.pop("index.html").decode()).substitute(values).encode()
    return {"/": _asset("index.html", page), **{_STATIC + name: _asset(name, data) for name, data in found.items()}}


def _asset(name: str, data: bytes) -> Reply:
    tag = b'"' + hashlib.sha256(data).hexdigest()[:16].encode() + b'"'
    kind = _MEDIA[name[name.rindex(".") :]]
    return Reply(200, data, kind, [(b"etag", tag), (b"cache-control", b"no-cache")])


def _unless_known(reply: Reply, headers: Mapping[bytes, bytes]) -> Reply:
    tag = dict(reply.headers)[b"etag"]
    known = headers.get(b"if-none-match", b"").removeprefix(b"W/") == tag
    return Reply(_UNCHANGED, b"", reply.kind, reply.headers) if known else reply
