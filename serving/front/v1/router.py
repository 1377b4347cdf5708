"""What is answered below /v1, and which part of it answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from ..asgi import Receive, Scope
from ..browsers import Browsers, authorization
from ..http_calls import HttpCalls
from ..record import Record
from ..replies import Reply, json_reply
from ..roles import UNKNOWN
from ..status import HTTP, Code, Refusal
from ..tokens import Caller
from .gallery import GalleryCalls
from .models import ModelCalls
from .openapi import description
from .problems import problem
from .search import Searches
from .uploads import Uploads

OPENAPI, SEARCH, GALLERY = "/v1/openapi.json", "/v1/search", "/v1/gallery"
VIDEOS, VIDEO, FILE = "/v1/videos", "/v1/video", "/v1/video/file"
MODELS = "/v1/models"
# Nothing that comes from here is for other sites, or for a browser to guess at.
_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"referrer-policy", b"no-referrer"),
)

Handler = Callable[[Scope, Receive, Caller, Record], Awaitable[Reply]]


class _Operation(NamedTuple):
    """One operation: its name, as ``roles.CALLS`` and the description have it, and who answers."""

    name: str
    answer: Handler


class V1:
    """Answers requests below /v1.

    Args:
        version: framesift's.
    """

    def __init__(
        self,
        calls: HttpCalls,
        browsers: Browsers,
        searches: Searches,
        uploads: Uploads,
        gallery: GalleryCalls,
        models: ModelCalls,
        version: str,
    ) -> None:
        self._calls, self._browsers = calls, browsers
        self._description = json_reply(description(version))

        async def told(scope: Scope, receive: Receive, caller: Caller, record: Record) -> Reply:
            return self._description

        self._operations = {
            OPENAPI: {"GET": _Operation("describe", told)},
            SEARCH: {"POST": _Operation("search", searches.answer)},
            GALLERY: {"GET": _Operation("getGallery", gallery.about)},
            MODELS: {
                "GET": _Operation("listModels", models.list),
                "PUT": _Operation("moveAlias", models.switch),
            },
            FILE: {"GET": _Operation("getVideoFile", gallery.file)},
            VIDEOS: {
                "GET": _Operation("listVideos", gallery.list),
                "POST": _Operation("indexVideo", uploads.answer),
            },
            VIDEO: {
                "GET": _Operation("getVideo", gallery.get),
                "PATCH": _Operation("updateVideo", gallery.update),
                "DELETE": _Operation("deleteVideo", gallery.delete),
            },
        }

    async def answer(self, scope: Scope, receive: Receive) -> Reply:
        """The answer to one request.

        Raises:
            ClientGone: the client has left.
        """
        path, method, headers = scope["path"], scope["method"], dict(scope["headers"])
        there = self._operations.get(path, {})
        operation = there.get("GET" if method == "HEAD" else method)

        async def work(caller: Caller, record: Record) -> Reply:
            self._browsers.check(method, headers)
            if not there:
                raise Refusal(Code.NOT_FOUND, f"there is nothing at {path[:100]}; {OPENAPI} says what there is")
            if operation is None:
                raise Refusal(Code.UNIMPLEMENTED, f"{path} takes {', '.join(there)}, not {method[:20]}")
            return await operation.answer(scope, receive, caller, record)

        name = UNKNOWN if operation is None else operation.name
        reply = await self._calls.answer(scope, name, work, problem, authorization=authorization(headers))
        if reply.status == HTTP[Code.UNIMPLEMENTED]:
            reply = reply.with_headers((b"allow", ", ".join(there).encode()))
        return reply.with_headers(*_HEADERS)
