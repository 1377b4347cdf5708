"""Traces from the client to every step, as a collector receives them from `framesift serve`."""

from __future__ import annotations

import json
import os
import queue
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import tritonclient.grpc as grpc
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from framesift import Client
from framesift.export.bundle.errors import InvalidQuery, ServerStartError
from framesift.export.bundle.store import Bundle
from framesift.serving.front.telemetry import Telemetry
from framesift.serving.server.addresses import choose

from ...waiting import LIMIT_S, until
from .collector import Collector, Seen, collecting
from .test_calls import inputs

SECRET = "a very secret wish"
TRACER = TracerProvider().get_tracer("test")


class Served:
    """A run of `framesift serve` that sends traces and writes its access log to its standard output."""

    def __init__(self, address: str, collector: Collector, log: Path) -> None:
        self.address, self.collector, self._log = address, collector, log

    def lines(self) -> list[dict[str, Any]]:
        """Its access log, but for a line of which a part is there."""
        return [json.loads(line) for line in self._log.read_text().rpartition("\n")[0].splitlines()]

    def of(self, trace_id: str, *names: str) -> dict[str, Seen]:
        """The spans of a trace by name, once those of these names are there."""
        spans = self.collector.wait(lambda all_: set(names) <= {span.name for span in all_ if span.trace == trace_id})
        return {span.name: span for span in spans if span.trace == trace_id}


@contextmanager
def serving(bundle: Bundle, folder: Path, collector: Collector, *options: str) -> Iterator[Served]:
    command = [sys.executable, "-m", "framesift", "serve", str(bundle.root), "--gallery", str(folder / "gallery")]
    out, err = folder / "out", folder / "err"
    # A batch is sent soon, so that nobody waits for five seconds.
    environment = {**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": collector.address, "OTEL_BSP_SCHEDULE_DELAY": "200"}
    with out.open("w") as stdout, err.open("w") as stderr:
        process = subprocess.Popen(
            [*command, "--port", str(choose("127.0.0.1", None)), "--access-log", "-", *options],
            stdout=stdout,
            stderr=stderr,
            env=environment,
        )
    try:

        def ready() -> re.Match[str] | None:
            assert process.poll() is None, err.read_text()
            return re.search(r"ready   gRPC (\S+)\s", err.read_text())

        yield Served(until(ready, told=err.read_text)[1], collector, out)
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(LIMIT_S) == 0, err.read_text()


@pytest.fixture(scope="module")
def served(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("traced")
    with collecting() as collector, serving(bundle, folder, collector, "--trace-ratio", "0") as run:
        yield run


def hexadecimal(span: trace.Span) -> tuple[str, str]:
    context = span.get_span_context()
    return f"{context.trace_id:032x}", f"{context.span_id:016x}"


@pytest.mark.server
def test_one_trace_from_the_client_to_every_step_of_a_search(served: Served) -> None:
    with Client(served.address) as client, TRACER.start_as_current_span("mine") as mine:
        client.search(SECRET)
    trace_id, span_id = hexadecimal(mine)
    steps = ("search_details", "text_encoder", "gallery_search", "compute", "InferRequest")
    found = served.of(trace_id, "ModelInfer", "receive", "tokenise", "queue", "upstream", *steps)
    call = found["ModelInfer"]
    assert call.parent == span_id
    assert {name for name, span in found.items() if span.parent == call.id} == {
        "receive",
        "tokenise",
        "queue",
        "upstream",
    }
    assert call.attributes["framesift.model"] == "search"
    assert call.attributes["rpc.grpc.status_code"] == "0"
    # Every span's parent is one of them, but for the client's.
    served.collector.wait(lambda all_: parents_elsewhere(all_, trace_id) == {span_id})
    assert {span.service for span in served.collector.spans} == {"framesift", "framesift-triton"}
    for name in ("receive", "tokenise", "queue"):
        assert call.start <= found[name].start <= found[name].end <= call.end, name
    assert found["receive"].end <= found["tokenise"].end <= found["queue"].end
    # Triton server has a clock of its own, and ends a model's span when the answer may have arrived already.
    assert found["text_encoder"].start <= found["gallery_search"].start
    (line,) = until(
        lambda: [line for line in served.lines() if line.get("trace_id") == trace_id and line["model"] == "search"]
    )
    assert (line["code"], line["rows"], line["batch_rows"]) == ("OK", 1, 1)
    assert line["upstream_s"] > 0


@pytest.mark.server
def test_a_trace_of_indexing_has_the_decoder_the_encoder_and_the_gallery(served: Served, clips: list) -> None:
    with Client(served.address) as client, TRACER.start_as_current_span("mine") as mine:
        client.index(clips[0].video)
    steps = ("video_decoder", "video_encoder", "gallery_index", "index_video")
    found = served.of(hexadecimal(mine)[0], "ModelInfer", "receive", "queue", *steps)
    assert found["ModelInfer"].attributes["framesift.model"] == "index_video"
    assert found["video_decoder"].start <= found["video_encoder"].start <= found["gallery_index"].start
    assert int(found["ModelInfer"].attributes["framesift.bytes_in"]) > clips[0].video.stat().st_size


@pytest.mark.server
def test_a_batch_has_one_span_that_is_linked_with_all_its_searches(served: Served) -> None:
    def search(number: int) -> tuple[str, str]:
        with Client(served.address) as client, TRACER.start_as_current_span("mine") as mine:
            client.search(f"wish number {number}")
        return hexadecimal(mine)

    def searched() -> list[dict[str, Any]]:
        with ThreadPoolExecutor(16) as pool:
            mine = dict(pool.map(search, range(64)))
        time.sleep(0.5)
        return [line for line in served.lines() if line.get("trace_id") in mine and line.get("batch_rows", 0) > 1]

    shared = until(searched)
    ids = {line["trace_id"] for line in shared}
    spans = served.collector.wait(
        lambda all_: ids <= {span.trace for span in all_ if span.name == "ModelInfer"} and len(batches(all_)) > 0
    )
    calls = {(span.trace, span.id): span for span in spans if span.name == "ModelInfer"}
    for batch in batches(spans):
        linked = [calls[link] for link in batch.links]
        assert len(linked) == int(batch.attributes["framesift.batch_rows"])
        assert batch.parent in {call.id for call in linked}
        for call in linked:
            if call.id != batch.parent:
                # There and back.
                assert (batch.trace, batch.id) in call.links
                stages = {span.name for span in spans if span.parent == call.id}
                assert stages == {"receive", "tokenise", "queue", "upstream"}


def traces(spans: list[Seen], service: str = "") -> set[str]:
    """The traces of all spans, or of a service's."""
    return {span.trace for span in spans if service in ("", span.service)}


def parents_elsewhere(spans: list[Seen], trace_id: str) -> set[str]:
    """The parents of a trace's spans that are none of them."""
    mine = [span for span in spans if span.trace == trace_id]
    return {span.parent for span in mine} - {span.id for span in mine}


def batches(spans: list[Seen]) -> list[Seen]:
    """Spans of requests to Triton server that answered several searches, all of which have arrived."""
    calls = {(span.trace, span.id) for span in spans if span.name == "ModelInfer"}
    return [span for span in spans if span.name == "upstream" and span.links and span.links <= calls]


@pytest.mark.server
def test_who_has_no_trace_or_one_that_is_not_sampled_leaves_none(served: Served) -> None:
    unsampled = trace.NonRecordingSpan(trace.SpanContext(0xABC, 0xDEF, False, trace.TraceFlags(0)))
    with Client(served.address) as client:
        client.search("nobody's wish")
        with trace.use_span(unsampled):
            client.search("an unsampled wish")
        with pytest.raises(InvalidQuery), TRACER.start_as_current_span("mine") as mine:
            client.search("&nbsp;")
    # What was sent before has arrived with this.
    found = served.of(hexadecimal(mine)[0], "ModelInfer")
    assert found["ModelInfer"].attributes["framesift.cause"] == "invalid"
    time.sleep(1)
    # The door and Triton server send theirs by turns.
    spans = served.collector.wait(lambda all_: traces(all_) == traces(all_, "framesift"))
    assert f"{0xABC:032x}" not in traces(spans)
    # It is told in the log whose call it was.
    until(lambda: any(line.get("trace_id") == f"{0xABC:032x}" for line in served.lines()))


@pytest.mark.server
def test_traces_come_over_http_and_in_streams_too(served: Served) -> None:
    def parent() -> tuple[str, dict[str, str]]:
        with TRACER.start_as_current_span("mine") as mine:
            trace_id, span_id = hexadecimal(mine)
        return trace_id, {"traceparent": f"00-{trace_id}-{span_id}-01"}

    trace_id, headers = parent()
    with urllib.request.urlopen(urllib.request.Request(f"http://{served.address}/v2", headers=headers)) as answer:
        assert answer.status == 200
    assert served.of(trace_id, "ServerMetadata")["ServerMetadata"].parent == headers["traceparent"].split("-")[2]

    trace_id, headers = parent()
    answers: queue.Queue = queue.Queue()
    with grpc.InferenceServerClient(served.address) as triton:
        triton.start_stream(lambda result, error: answers.put(error or result), headers=headers)
        for _ in range(2):
            triton.async_stream_infer("search", inputs())
        assert all(not isinstance(answers.get(timeout=LIMIT_S), Exception) for _ in range(2))
        triton.stop_stream()
    spans = served.collector.wait(
        lambda all_: sum(span.trace == trace_id and span.name == "ModelStreamInfer" for span in all_) == 3
    )
    stream, *requests = sorted(
        (span for span in spans if span.trace == trace_id and span.name == "ModelStreamInfer"),
        key=lambda span: span.parent != headers["traceparent"].split("-")[2],
    )
    assert [request.parent for request in requests] == [stream.id] * 2
    assert [request.attributes["framesift.model"] for request in requests] == ["search"] * 2


@pytest.mark.server
def test_no_text_leaves_the_server(served: Served) -> None:
    assert served.collector.bodies
    assert not any(word in body for body in served.collector.bodies for word in (SECRET.encode(), b"wish number"))
    assert SECRET not in json.dumps(served.lines())


@pytest.mark.parametrize("endpoint", ["collector:4318", "ftp://collector", "http://user:password@collector", "http://"])
def test_what_is_no_collector_is_refused(endpoint: str) -> None:
    with pytest.raises(ServerStartError, match="no address of a collector"):
        Telemetry(trace_endpoint=endpoint).check()


def test_endpoints_are_those_of_opentelemetry() -> None:
    assert Telemetry().traces == ""
    for endpoint in ("http://collector:4318", "http://collector:4318/", "http://collector:4318/v1/traces"):
        Telemetry(trace_endpoint=endpoint).check()
        assert Telemetry(trace_endpoint=endpoint).traces == "http://collector:4318/v1/traces"
