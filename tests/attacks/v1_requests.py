"""Requests below /v1, right ones and wrong ones, made from the description that the server itself gives of them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote

from framesift.serving.search.options import Options
from framesift.serving.search.paging import mark_of, page_mark

from .damage import ODD_VALUES, odd_json
from .mutations import Chance
from .requests import CURSORS, FILTERS, broken, marked_cursor

_HERE = "HTTP/1.1\r\nHost: 127.0.0.1"
_SEARCHED = "a red circle"
_METADATA = ('{"a": 1}', "{}", '{"list": [1, "x", null], "deep": {"er": true}}', '{"a": ' + "[" * 900 + "]" * 900 + "}")
_IDS = (
    "v1 0",
    "v1 1",
    "v1 2",
    "absent",
    "../../etc/passwd",
    "\0",
    "a\nb",
    "\u202e",
    "\u3164",
    "x" * 2000,
    "",
    " ",
    "é%2f",
)
# What a field of the description may be given. One that is not here is new: tell here what to try with it.
VALUES: Mapping[str, Sequence[Any]] = {
    "id": _IDS,
    "source": ("", "/srv/films/a.mp4", "file:///etc/passwd", "\0", "x" * 5000, "\u2028"),
    "metadata": (*_METADATA, "[]", "", "{", '{"a": NaN}', '{"a": "\\ud800"}'),
    "merge": ("true", "false", "1", ""),
    "top": (1, 10, 1000, 0, -1, 10**30, "x", 2.5),
    "after": CURSORS,
    "where": FILTERS,
    "text": ("a red circle", "x" * 3000, "\u200b", " ", "<b>&nbsp;</b>", "\0", "🟥" * 50),
    "texts": (["a red circle"], ["a"] * 32, ["a"] * 33, [], [[]], ["a", 5], ["x" * 60_000, *["a"] * 3000]),
    "candidates": (["v1 0"], ["absent"], [], [5], ["\u3164"], ["a"] * 5000, ["x" * 1000] * 100),
    "min_score": (0.1, -5, 1e308, 10**40, "x", True),
    "offset": (0, 1, 4095, 4096, -1, 1 << 62, 1.5),
    "like": ("v1 0", "absent", "", "\u3164", "x" * 2000, 5, ["v1 0"], {"id": "v1 0"}),
    "segment": (0, 1, 3, -1, 1 << 40, "0", True, 0.5, None),
    "include": ("true", "false", True, 5, 1),
    "weight": (0, 0.3, 1, -1, 2, 1e308, "x", 10**40, True),
    "segment_seconds": ("1", "30", "0", "-1", "1e400", "nan", "x", "0.0001"),
    "overlap": ("0", "1", "30", "-1", "inf", "x"),
    "segments": (True, False, 1, "true"),
    "partial": (True, False, 1, "true"),
    "alias": ("nope", "", "é", "../x", "x" * 3000, "a\nb"),
    "model": ("nope", "", "é", "../x", "x" * 3000, "a\nb"),
    "search": ("{}", '{"text": "a red circle", "weight": 0.2}', '{"like": "v1 0"}', "[]", "{", '{"top": 1e9}'),
    "Range": (
        "bytes=0-",
        "bytes=-5",
        "bytes=99999999999-",
        "bytes=5-1",
        "bytes=0-0,5-9",
        "bytes=" + "9" * 50 + "-",
        "x",
    ),
}
_RIGHT: Mapping[str, Sequence[Any]] = {
    "text": ("a red circle", "a large blue square moves left"),
    "top": (1, 10, 100),
    "where": ("duration >= 0", "id exists"),
    "min_score": (-5.0, 0.0),
    "offset": (0, 1),
}
_PATHS = (
    *("/v1", "/v1/", "/v1/nope", "//v1/search", "/v1//search", "/v1/../v1/search", "/v1/search/", "/v1/%73earch"),
    *("/v1/video/file/../../x", "/V1/search", "/v1/search;x", "/v1/" + "a" * 8000, "/v1/search#x", "/v1/\x7f", "/v1/é"),
    *("/", "/session", "/static/", "/static/../page.py", "/static/api.js", "/favicon.ico", "/v1/openapi.json?x=1"),
)
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "get", "G" * 300)
_HEADERS = (
    *("Origin: http://evil.example", "Origin: null", "Sec-Fetch-Site: cross-site", "Host: evil.example"),
    *("Cookie: framesift=fs_guessed", 'Cookie: framesift="' + "\\" * 20_000 + '"', "Cookie: " + "a=b;" * 5000),
    *("Content-Encoding: gzip", "Content-Type: multipart/form-data", "Content-Type: multipart/form-data; boundary=x"),
    *("Content-Type: application/grpc", "Content-Type: text/plain; charset=utf-16", "Expect: 100-continue"),
    *("Transfer-Encoding: chunked", "Content-Length: 3", "Content-Length: -1", "Content-Length: 99999999999999"),
    *("Range: bytes=0-0", "If-None-Match: *", "If-Range: x", "Connection: upgrade", "Upgrade: websocket"),
    *("traceparent: 00-" + "0" * 32 + "-" + "0" * 16 + "-01", "X: " + "y" * 40_000, "Accept: " + "*/*," * 1000),
)


class Request(NamedTuple):
    """Bytes to be sent; ``operation`` is what they are for, ``right`` that nothing is wrong with them.

    Where it is ``cut``, less comes than was announced.
    """

    raw: bytes
    operation: str
    right: bool
    cut: bool = False


class V1Requests:
    """Makes requests.

    Args:
        description: the document at /v1/openapi.json.
        alias: by which the server's model is chosen.
        videos: files by the id under which the gallery has them.
    """

    def __init__(self, description: Mapping[str, Any], videos: Mapping[str, bytes], alias: str, model: str) -> None:
        self._right = {**_RIGHT, "alias": (alias,), "model": (alias,)}
        self._schemas = description["components"]["schemas"]
        self._operations = [
            (method.upper(), path, {**operation, "parameters": [*shared, *operation.get("parameters", ())]})
            for path, operations in description["paths"].items()
            for shared in (operations.get("parameters", ()),)
            for method, operation in operations.items()
            if method != "parameters"
        ]
        self._videos = list(videos.items())
        self._marks = (page_mark(Options(), [], model), mark_of("list", "", model))

    @property
    def operations(self) -> set[str]:
        """What the server has."""
        return {operation["operationId"] for _, _, operation in self._operations}

    def make(self, chance: Chance, authorization: str) -> Request:
        """One request: a fifth are right, the others have strange values, and half of these are wrong in form too."""
        method, path, operation = chance.choice(self._operations)
        right = chance.random() < 0.2
        query, headers = self._parameters(chance, operation, right)
        kind, body = self._body(chance, operation, right)
        headers = [f"Authorization: {authorization}", *headers, *([f"Content-Type: {kind}"] if kind else [])]
        if not right and chance.random() < 0.5:
            return self._wrong(chance, method, path, query, headers, body, operation["operationId"])
        return Request(_joined(method, path, query, headers, body), operation["operationId"], right)

    def _wrong(
        self, chance: Chance, method: str, path: str, query: str, headers: list[str], body: bytes, name: str
    ) -> Request:
        length: int | None = None
        for _ in range(chance.choice((1, 1, 2, 3))):
            match chance.randrange(7):
                case 0:
                    method = chance.choice(_METHODS)
                case 1:
                    path = chance.choice(_PATHS)
                case 2:
                    query = chance.choice(
                        ("id=a&id=b", "&".join(f"a{n}=1" for n in range(40)), "id=%ff", "%", "x=" * 9000)
                    )
                case 3:
                    headers = [*headers, *chance.sample(_HEADERS, chance.choice((1, 2)))]
                case 4:
                    headers[0] = chance.choice(("Authorization: Bearer fs_guessed", "Authorization: Basic x", "X: y"))
                case 5:
                    body = broken(body, chance) if body else b"unasked"
                case 6:
                    length = len(body) + chance.choice((1, 1000, 1 << 20, 300 << 20))
        return Request(_joined(method, path, query, headers, body, length), name, False, length is not None)

    def _parameters(self, chance: Chance, operation: Mapping[str, Any], right: bool) -> tuple[str, list[str]]:
        query, headers = [], []
        for parameter in operation["parameters"]:
            name = parameter["name"]
            tried = self._right.get(name, ()) if right else VALUES[name]
            if name == "id" and right and parameter.get("required"):
                tried = ("v1 0", "v1 1")
            if not tried or not (parameter.get("required") or chance.random() < 0.5):
                continue
            value = self._cursor(chance, None) if name == "after" and chance.random() < 0.5 else chance.choice(tried)
            if parameter["in"] == "header":
                headers.append(f"{name}: {value}")
            else:
                query.append(f"{name}={quote(str(value), safe='')}")
        return "&".join(query), headers

    def _body(self, chance: Chance, operation: Mapping[str, Any], right: bool) -> tuple[str, bytes]:
        content = operation.get("requestBody", {}).get("content")
        if content is None:
            return "", b""
        kinds = ["application/json"] if right and "application/json" in content else list(content)
        kind = chance.choice(kinds).replace("*", "mp4")
        schema = content.get(kind, next(iter(content.values())))["schema"]
        if kind == "application/json":
            return kind, self._json(chance, schema, right)
        _, video = chance.choice(self._videos)
        if not right:
            video = broken(video[: chance.choice((0, 100, 5000))], chance) or b"\0"
        if not kind.startswith("multipart"):
            return kind, video
        return "multipart/form-data; boundary=edge", b"".join(self._form(chance, video, schema, right))

    def _json(self, chance: Chance, schema: Mapping[str, Any], right: bool) -> bytes:
        known = self._schemas[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else None
        if known is None:
            return (chance.choice(_METADATA[:3]) if right else chance.choice(VALUES["metadata"])).encode()
        fields = known["properties"]
        if right:
            needed = {"text", *known.get("required", ())}
            some = [name for name in fields if name in needed or (name in self._right and chance.random() < 0.3)]
            return json.dumps({name: chance.choice(self._right[name]) for name in some}).encode()
        values = {name: chance.choice((*VALUES[name], *ODD_VALUES)) for name in fields if chance.random() < 0.3}
        if chance.random() < 0.5:
            values = {**values, "text": _SEARCHED, "after": self._cursor(chance, _SEARCHED)}
        told = json.dumps(values)
        return (told if chance.random() < 0.7 else odd_json(told, chance)).encode()

    def _form(self, chance: Chance, video: bytes, schema: Mapping[str, Any], right: bool) -> Iterator[bytes]:
        sound = {"id": "v1 2", "source": "", "search": '{"top": 3}'}
        known = self._schemas[schema["$ref"].rpartition("/")[2]]["properties"]
        fields = [name for name in sound if name in known]
        if not right:
            fields = chance.sample(["id", "id", "source", "search", "metadata", "nope"], 3)
        for name in fields:
            value = sound[name] if right else str(chance.choice(VALUES.get(name, ("x",))))
            yield b'--edge\r\nContent-Disposition: form-data; name="%s"\r\n\r\n' % name.encode()
            yield value.encode("utf-8", "surrogatepass") + b"\r\n"
        for name in ("video",) if right else chance.choice((("video",), ("video", "video"), ("features",), ())):
            head = b'--edge\r\nContent-Disposition: form-data; name="%s"; filename="a.mp4"\r\n\r\n' % name.encode()
            yield head + video + b"\r\n"
        yield b"--edge--\r\n" if right or chance.random() < 0.8 else b"--edge"

    def _cursor(self, chance: Chance, text: str | None) -> str:
        """A cursor that nobody was given, of a plain search or a list."""
        return marked_cursor(chance, chance.choice(self._marks), text)


def _joined(
    method: str, path: str, query: str, headers: Sequence[str], body: bytes, length: int | None = None
) -> bytes:
    target = f"{path}?{query}" if query else path
    told = len(body) if length is None else length
    sized = [f"Content-Length: {told}"] if body or length is not None or method in ("POST", "PATCH") else []
    return "\r\n".join([f"{method} {target} {_HERE}", *headers, *sized, "", ""]).encode("utf-8") + body
