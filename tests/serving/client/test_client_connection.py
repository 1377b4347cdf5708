"""How a client connects, what a failed call raises, and when one is tried again."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from itertools import islice
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from tritonclient.utils import InferenceServerException

from framesift.export.bundle.errors import (
    DeadlineExceeded,
    FramesiftError,
    GalleryMismatch,
    InvalidQuery,
    InvalidRequest,
    ServerError,
    ServerUnavailable,
)
from framesift.export.bundle.models import INDEX_VIDEO, SEARCH
from framesift.serving.client.connection import AWAY_S, BUSY_S, channel_options, passing, translate, waits, with_trace
from framesift.serving.client.sending import Sending
from framesift.serving.client.wire import Call


@pytest.mark.parametrize(
    ("message", "status", "kind", "said"),
    [
        ("[invalid-query] the text is empty", "INTERNAL", InvalidQuery, "the text is empty"),
        (
            "in ensemble 'search', Failed to process for model 'x', message: [gallery-mismatch] a: b",
            "INTERNAL",
            GalleryMismatch,
            "a: b",
        ),
        ("Deadline Exceeded", "DEADLINE_EXCEEDED", DeadlineExceeded, "no answer from host:1 within 2 s"),
        ("Exceeds maximum queue size", "UNAVAILABLE", ServerUnavailable, "overloaded"),
        ("in ensemble 'search', Request timeout expired", "UNAVAILABLE", ServerUnavailable, "overloaded"),
        (
            "failed to connect to all addresses",
            "UNAVAILABLE",
            ServerUnavailable,
            "is `framesift serve` running?",
        ),
        (
            "failed to connect to all addresses; last error: Failed parsing HTTP/2 (Expected SETTINGS frame)",
            "UNAVAILABLE",
            ServerUnavailable,
            "no framesift server",
        ),
        ("Stub process 'x_0' is not healthy.", "INTERNAL", ServerUnavailable, "being restarted"),
        (
            "Request for unknown model: 'search' is not found",
            "NOT_FOUND",
            ServerUnavailable,
            "not serve framesift",
        ),
        (
            "Request for unknown model: 'search' has no available versions",
            "UNAVAILABLE",
            ServerUnavailable,
            "or not yet",
        ),
        (
            "[request id: <id_unknown>] unexpected shape for input 'top'",
            "INVALID_ARGUMENT",
            InvalidRequest,
            "'top'",
        ),
        ("Received message larger than max", "RESOURCE_EXHAUSTED", InvalidRequest, "larger than max"),
        ("[unknown-code] something", "INTERNAL", ServerError, "something"),
        (None, None, ServerError, "no reason given"),
    ],
)
def test_a_failure_becomes_the_exception_that_says_it_best(
    message: str | None, status: str | None, kind: type[FramesiftError], said: str
) -> None:
    raised = InferenceServerException(message, f"StatusCode.{status}" if status else None)
    error = translate(raised, "host:1", 2.0)
    assert type(error) is kind
    assert said in str(error)


def test_a_deadline_without_a_timeout_of_ours_names_none() -> None:
    error = translate(InferenceServerException("Deadline Exceeded", "StatusCode.DEADLINE_EXCEEDED"), "host:1", None)
    assert str(error) == "no answer from host:1"


@pytest.mark.parametrize(
    ("address", "direct"),
    [("127.0.0.1:8001", True), ("localhost:8001", True), ("[::1]:8001", True), ("video.example:8001", False)],
)
def test_only_calls_to_this_machine_go_past_a_proxy(address: str, direct: bool) -> None:
    options = dict(channel_options(address))
    assert (options.get("grpc.enable_http_proxy") == 0) is direct
    assert options["grpc.max_send_message_length"] > 2**30


def test_waits_grow_and_end_with_the_callers_patience() -> None:
    for _ in range(20):
        assert all(0.5 <= wait / length <= 1.5 for wait, length in zip(waits(None), (0.05, 0.1, 0.2), strict=False))
        assert 1.5 < sum(islice(waits(None), 6)) < 5
        assert all(wait <= 0.3 for wait in waits(0.3))
    assert list(waits(0.01)) == []


AWAY, BUSY = "failed to connect to all addresses", "the server is searching for 48 texts already: try again"


class Failing:
    """A way to a server that has answered once, and fails until its client has waited for so many seconds."""

    def __init__(self, message: str, seconds: float) -> None:
        self._error, self._seconds = InferenceServerException(message, "StatusCode.UNAVAILABLE"), seconds
        self.slept: float | None = None

    async def send(self, call: Callable[[Any], Any]) -> Any:
        if self.slept is not None and self.slept < self._seconds:
            raise self._error
        self.slept = self.slept or 0.0
        return "answered"

    async def sleep(self, seconds: float) -> None:
        assert self.slept is not None
        self.slept += seconds


@pytest.mark.parametrize(
    ("model", "message", "seconds", "least", "most"),
    [
        (SEARCH, AWAY, 8.0, 8.0, None),
        (SEARCH, AWAY, 60.0, AWAY_S - 2.4, AWAY_S),
        (SEARCH, BUSY, 1.5, 1.5, None),
        (SEARCH, BUSY, 60.0, 1.5, BUSY_S),
        (INDEX_VIDEO, AWAY, 60.0, AWAY_S - 6, AWAY_S),
        (INDEX_VIDEO, BUSY, 60.0, 60.0, None),
    ],
)
def test_a_server_is_waited_for_as_what_keeps_it_deserves(
    model: str, message: str, seconds: float, least: float, most: float | None
) -> None:
    way = Failing(message, seconds)
    sending = Sending(way, "host:1", None, retry=True)  # type: ignore[arg-type]

    async def asked() -> Any:
        await sending.ready(timeout_s=None)
        return await sending.infer(Call(model, [], lambda found: found), timeout_s=None)

    if most is None:
        assert asyncio.run(asked()) == "answered"
    else:
        with pytest.raises(ServerUnavailable):
            asyncio.run(asked())
    assert way.slept is not None
    assert least <= way.slept <= (most or float("inf"))


def test_a_call_within_a_span_names_it_and_any_other_names_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    token = {"authorization": "Bearer fs_x"}
    assert with_trace(token) is token
    with TracerProvider().get_tracer("test").start_as_current_span("mine") as mine:
        context = mine.get_span_context()
        named = {"traceparent": f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"}
        assert with_trace(None) == named
        assert with_trace(token) == {**token, **named}
        # As in a program that does not use OpenTelemetry.
        monkeypatch.delitem(sys.modules, "opentelemetry.trace")
        assert with_trace(token) is token


@pytest.mark.parametrize(
    ("message", "status", "again"),
    [
        ("[unavailable] the server has too much to do: try again in a moment", "UNAVAILABLE", True),
        ("Stub process 'x_0' is not healthy.", "INTERNAL", True),
        ("[invalid-request] the gallery has no video 'is not healthy'", "INVALID_ARGUMENT", False),
        ("[invalid-request] mean_embedding of 'timeout expired' is all zeros", "INVALID_ARGUMENT", False),
    ],
)
def test_words_of_the_caller_s_own_are_no_reason_to_try_again(message: str, status: str, again: bool) -> None:
    assert passing(InferenceServerException(message, f"StatusCode.{status}")) is again
