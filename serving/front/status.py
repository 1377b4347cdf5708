"""gRPC's status codes, HTTP's, and which of them tells a client of an error."""

from __future__ import annotations

import logging
from enum import IntEnum

from ...export.bundle.errors import AccessDenied, DeadlineExceeded, FramesiftError, InvalidInput, ServerUnavailable

_LOG = logging.getLogger(__name__)


class Code(IntEnum):
    """The codes that the door answers with."""

    OK = 0
    CANCELLED = 1
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    UNAUTHENTICATED = 16


# The statuses that tell them over plain HTTP.
HTTP = {
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


class Refusal(Exception):
    """A call that the protocol itself refuses: no such method or model, too large, not allowed."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code = code


class Restarting(Exception):
    """Triton server, or one of its models' processes, has ended and is being started again."""


class ClientGone(Exception):
    """The client has left: nobody waits for an answer."""


_CODES = (
    (InvalidInput, Code.INVALID_ARGUMENT),
    (ServerUnavailable, Code.UNAVAILABLE),
    (Restarting, Code.UNAVAILABLE),
    (DeadlineExceeded, Code.DEADLINE_EXCEEDED),
    (AccessDenied, Code.PERMISSION_DENIED),
    (ClientGone, Code.CANCELLED),
)
_CAUSES = {
    Code.INVALID_ARGUMENT: "invalid",
    Code.NOT_FOUND: "unknown",
    Code.UNIMPLEMENTED: "unknown",
    Code.RESOURCE_EXHAUSTED: "size",
    Code.UNAUTHENTICATED: "token",
    Code.UNAVAILABLE: "stopping",
}
_KINDS = (
    (InvalidInput, "invalid"),
    (ServerUnavailable, "load"),
    (Restarting, "restarting"),
    (AccessDenied, "role"),
)


def told(error: Exception) -> tuple[Code, str]:
    """The code and the message by which a client learns of ``error``; what nobody expected goes to the log."""
    if isinstance(error, Refusal):
        return error.code, str(error)
    if isinstance(error, Restarting):
        error = ServerUnavailable(f"{error}: try again in a moment")
    if isinstance(error, FramesiftError):
        return code(error), error.wire()
    _LOG.error("internal error in the front door", exc_info=error)
    return Code.INTERNAL, FramesiftError(f"internal error in the front door: {type(error).__name__}").wire()


def code(error: Exception) -> Code:
    """The code of ``told``, and CANCELLED where nobody waits to be told."""
    if isinstance(error, Refusal):
        return error.code
    return next((found for kind, found in _CODES if isinstance(error, kind)), Code.INTERNAL)


def cause(error: Exception) -> str:
    """Why a request was refused, in a word; empty where it was no refusal: it failed, or its client ran out of time."""
    if isinstance(error, Refusal):
        return _CAUSES[error.code]
    return next((word for kind, word in _KINDS if isinstance(error, kind)), "")
