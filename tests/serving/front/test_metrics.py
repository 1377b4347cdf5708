"""Metrics in Prometheus' text format."""

from __future__ import annotations

import urllib.request

import grpc as plain
import pytest

from framesift.export.bundle.errors import (
    AccessDenied,
    DeadlineExceeded,
    InvalidQuery,
    ServerError,
    ServerUnavailable,
)
from framesift.serving.client.sync import Client
from framesift.serving.front.metrics import Counter, Gauge, Histogram, exposition
from framesift.serving.front.record import Record
from framesift.serving.front.status import ClientGone, Code, Refusal, Restarting, told

from ...waiting import until
from .prometheus import Family, parse
from .requests_of import request

COMPUTING = ("text_encoder", "gallery_search", "video_decoder", "video_encoder", "gallery_index")


def test_metrics_are_told_as_prometheus_reads_them() -> None:
    calls = Counter("calls_total", "Calls", ("method", "code"))
    calls.add("Infer", "OK")
    calls.add("Infer", "OK", by=2)
    calls.add('a "quoted"\nname\\', "OK")
    rows = Histogram("rows", "Rows", (1, 2.5))
    for value in (1, 2, 2.5, 100):
        rows.observe(value)
    seconds = Histogram("seconds", "Seconds", (0.5,), ("method",))
    seconds.observe(0.25, "Infer")
    told = exposition(
        [calls, rows, seconds, Gauge("ready", "Whether it is", lambda: True), Counter("none_total", "None")]
    )
    assert told.splitlines() == [
        "# HELP calls_total Calls",
        "# TYPE calls_total counter",
        'calls_total{method="Infer",code="OK"} 3',
        'calls_total{method="a \\"quoted\\"\\nname\\\\",code="OK"} 1',
        "# HELP rows Rows",
        "# TYPE rows histogram",
        'rows_bucket{le="1"} 1',
        'rows_bucket{le="2.5"} 3',
        'rows_bucket{le="+Inf"} 4',
        "rows_sum 105.5",
        "rows_count 4",
        "# HELP seconds Seconds",
        "# TYPE seconds histogram",
        'seconds_bucket{method="Infer",le="0.5"} 1',
        'seconds_bucket{method="Infer",le="+Inf"} 1',
        'seconds_sum{method="Infer"} 0.25',
        'seconds_count{method="Infer"} 1',
        "# HELP ready Whether it is",
        "# TYPE ready gauge",
        "ready 1",
        "# HELP none_total None",
        "# TYPE none_total counter",
        "none_total 0",
    ]


def test_a_page_that_prometheus_would_misread_is_noticed() -> None:
    good = "# HELP a_total A\n# TYPE a_total counter\n"
    assert parse(good + 'a_total{b="c\\n"} 1\n')["a_total"].value() == 1
    for bad in ("a_total", 'a_total{b="c} 1', "b_total 1", "a_total 1\na_total 2", 'a_total{b="c",b="d"} 1', "\n"):
        with pytest.raises(AssertionError):
            parse(f"{good}{bad}\n")
    with pytest.raises(AssertionError):
        parse(good + good)


def page(address: str) -> dict[str, Family]:
    """The metrics of a server."""
    with urllib.request.urlopen(f"http://{address}/metrics") as answer:
        return parse(answer.read().decode())


@pytest.mark.server
def test_the_page_of_a_server_tells_the_gallery_and_where_time_goes(server, client: Client, indexed: list) -> None:
    # The door may have been started again since its gallery was filled.
    client.index(indexed[0].video, id=indexed[0].video.name)
    client.search("a red circle")
    version = client.lookup([]).version

    def told() -> dict[str, Family] | None:
        found = page(server.address)
        seconds = found.get("framesift_compute_seconds_total", Family("counter"))
        there = all(seconds.value(model=model) > 0 for model in COMPUTING)
        # A version beyond it where the gallery's files were merged meanwhile.
        return found if there and found["framesift_gallery_version"].value() >= version else None

    # Models report once a second, and Triton server counts a request once its answer is sent.
    found = until(told, pause_s=0.1)
    assert found["framesift_gallery_videos"].value(model="gallery_search") == client.lookup([]).count
    stages = found["framesift_stage_seconds"]
    for stage in ("receive", "tokenise", "queue", "upstream"):
        assert stages.samples["framesift_stage_seconds_count", (("model", "search"), ("stage", stage))] >= 1
    for stage in ("receive", "queue", "upstream"):
        assert stages.samples["framesift_stage_seconds_sum", (("model", "index_video"), ("stage", stage))] > 0
    assert found["framesift_restarts_total"].kind == "counter"


@pytest.mark.server
def test_refusals_are_told_by_cause(server, client: Client) -> None:
    before = page(server.address)["framesift_refused_total"]
    with pytest.raises(InvalidQuery):
        client.search("&nbsp;")
    with plain.insecure_channel(server.address) as channel:
        infer = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        for message in (request("nothing", {}), request("search", {})):
            with pytest.raises(plain.RpcError):
                infer(message.SerializeToString(), timeout=60)

    def more(**labels: str) -> float:
        return page(server.address)["framesift_refused_total"].value(**labels) - before.value(**labels)

    # A call is counted once its answer is sent.
    until(lambda: more(model="search", cause="invalid") >= 2 and more(model="", cause="unknown") >= 1)
    assert (more(model="search", cause="invalid"), more(model="", cause="unknown")) == (2, 1)


@pytest.mark.parametrize(
    ("error", "code", "word"),
    [
        (InvalidQuery("x"), Code.INVALID_ARGUMENT, "invalid"),
        (Refusal(Code.UNAUTHENTICATED, "x"), Code.UNAUTHENTICATED, "token"),
        (Refusal(Code.NOT_FOUND, "x"), Code.NOT_FOUND, "unknown"),
        (Refusal(Code.UNAVAILABLE, "x"), Code.UNAVAILABLE, "stopping"),
        (AccessDenied("x"), Code.PERMISSION_DENIED, "role"),
        (ServerUnavailable("x"), Code.UNAVAILABLE, "load"),
        (Restarting("x"), Code.UNAVAILABLE, "restarting"),
        # No refusals.
        (DeadlineExceeded("x"), Code.DEADLINE_EXCEEDED, ""),
        (ClientGone(), Code.CANCELLED, ""),
        (ServerError("x"), Code.INTERNAL, ""),
        (KeyError("a bug"), Code.INTERNAL, ""),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_every_error_has_its_code_and_cause(error: Exception, code: Code, word: str) -> None:
    record = Record("ModelInfer")
    record.fail(error)
    assert (record.code, record.cause) == (code, word)
    if not isinstance(error, ClientGone):
        assert told(error)[0] is code
