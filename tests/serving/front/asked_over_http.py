"""One request over plain HTTP, with any headers, its answer, and the time until searches see what it changed."""

from __future__ import annotations

import contextlib
import http.client
import json
from typing import Any, NamedTuple

from framesift.serving.client.results import Indexed
from framesift.serving.client.sync import Client


class Answer(NamedTuple):
    """An answer: its status, its headers in small letters, and its body."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body's value."""
        return json.loads(self.body)


def ask(address: str, path: str, body: Any = None, method: str = "", **headers: str) -> Answer:
    """Ask; a body that is no bytes is sent as JSON. Underscores in names of headers stand for hyphens."""
    sent = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    connection = http.client.HTTPConnection(address, timeout=60)
    try:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        # A refusal may come, and the connection end, before all is sent.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.request(method or ("GET" if body is None else "POST"), path, sent, named)
        response = connection.getresponse()
        return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
    finally:
        connection.close()


def settle(client: Client) -> None:
    """Wait until searches see the gallery as it is: other tests compare what they find."""
    now = client.lookup([])
    client.wait_searchable(Indexed("", now.version, now.count))
