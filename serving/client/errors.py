"""Failures of a call as framesift's own exceptions."""

from __future__ import annotations

from tritonclient.utils import InferenceServerException

from ...export.bundle.errors import (
    DeadlineExceeded,
    FramesiftError,
    InvalidRequest,
    ServerError,
    ServerUnavailable,
    from_wire,
)

# What the server says when a queue is full or a request has waited there for too long.
_OVERLOADED = ("exceeds maximum queue size", "timeout expired")
# What it says for a few seconds between the death of a model's process and its restart.
_RESTARTING = "is not healthy"


def refused(error: InferenceServerException) -> bool:
    """Whether the server has too much to do, so that the same call may be answered in a moment."""
    message = error.message() or ""
    return isinstance(from_wire(message), ServerUnavailable) or any(sign in message.lower() for sign in _OVERLOADED)


def translate(error: InferenceServerException, address: str, timeout_s: float | None) -> FramesiftError:
    """The exception to raise for a failed call to ``address``."""
    message = error.message() or "no reason given"
    sent = from_wire(message)
    if sent is not None:
        return sent
    status = (error.status() or "").removeprefix("StatusCode.")
    lowered = message.lower()
    if any(sign in lowered for sign in _OVERLOADED):
        return ServerUnavailable(f"the server at {address} is overloaded, try again: {message}")
    if _RESTARTING in lowered:
        return ServerUnavailable(f"a model of the server at {address} is being restarted, try again: {message}")
    if status == "DEADLINE_EXCEEDED":
        return DeadlineExceeded(
            f"no answer from {address} within {timeout_s:g} s" if timeout_s else f"no answer from {address}"
        )
    if status == "NOT_FOUND" or "request for unknown model" in lowered:
        return ServerUnavailable(f"the server at {address} does not serve framesift's models, or not yet: {message}")
    if status == "UNAVAILABLE":
        return ServerUnavailable(f"no server answers at {address} (is `framesift serve` running?): {message}")
    if status in {"INVALID_ARGUMENT", "RESOURCE_EXHAUSTED"}:
        return InvalidRequest(f"the server at {address} refused the request: {message}")
    return ServerError(f"the server at {address} failed: {message}")
