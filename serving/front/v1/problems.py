"""Errors as JSON: problem details, RFC 9457."""

from __future__ import annotations

from http import HTTPStatus

from ....export.bundle.errors import from_wire
from ..replies import Reply, json_reply
from ..status import HTTP, Code, told

KIND = b"application/problem+json"
# The client's own word for having left is no status of the standard library.
_TITLES = {499: "Client Closed Request"}
# Refusals of the protocol itself have no class among framesift's errors.
_CODES = {
    Code.INVALID_ARGUMENT: "invalid-request",
    Code.NOT_FOUND: "not-found",
    Code.UNIMPLEMENTED: "not-allowed",
    Code.RESOURCE_EXHAUSTED: "too-large",
}


def problem(error: Exception) -> Reply:
    """What a client is told of an error: status, title, detail, and the ``code`` of the error's class."""
    code, message = told(error)
    status = HTTP[code]
    known = from_wire(message)
    values = {
        "type": "about:blank",
        "title": _TITLES.get(status) or HTTPStatus(status).phrase,
        "status": status,
        "detail": message if known is None else str(known),
        "code": _CODES.get(code, "server") if known is None else known.code,
    }
    reply = json_reply(values, status)
    return Reply(status, reply.body, KIND)
