"""A collector of traces: OTLP over HTTP, as protobuf and as JSON, kept in memory."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from ...waiting import until


@dataclass(frozen=True)
class Seen:
    """A span that arrived; ids in hexadecimal digits, times in nanoseconds."""

    service: str
    name: str
    trace: str
    id: str
    parent: str
    start: int
    end: int
    attributes: dict[str, Any]
    links: frozenset[tuple[str, str]]


class Collector:
    """What arrived, and from where it takes more."""

    def __init__(self, port: int) -> None:
        self.address = f"http://127.0.0.1:{port}"
        self.spans: list[Seen] = []
        self.bodies: list[bytes] = []

    def wait(self, found: Callable[[list[Seen]], bool]) -> list[Seen]:
        """All spans, once they are as ``found`` wants them."""
        until(
            lambda: found(list(self.spans)),
            told=lambda: [(span.service, span.name, span.trace) for span in self.spans],
        )
        return list(self.spans)

    def take(self, kind: str, body: bytes) -> None:
        """Keep the spans of one request."""
        self.bodies.append(body)
        if kind == "application/x-protobuf":
            message = ExportTraceServiceRequest.FromString(body)
            # protobuf's JSON has bytes in base64, OTLP's in hexadecimal digits.
            for resource in message.resource_spans:
                for scope in resource.scope_spans:
                    for span in scope.spans:
                        self.spans.append(_of_protobuf(_service(MessageToDict(resource.resource)), span))
            return
        for resource in json.loads(body)["resourceSpans"]:
            for scope in resource["scopeSpans"]:
                self.spans.extend(_of_json(_service(resource["resource"]), span) for span in scope["spans"])


@contextmanager
def collecting() -> Iterator[Collector]:
    """A collector on a free port of this machine."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            assert self.path == "/v1/traces"
            collector.take(self.headers["content-type"], body)
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    collector = Collector(server.server_port)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield collector
    finally:
        server.shutdown()
        server.server_close()


def _service(resource: dict[str, Any]) -> str:
    return str(_attributes(resource["attributes"])["service.name"])


def _attributes(found: list[dict[str, Any]]) -> dict[str, Any]:
    return {pair["key"]: next(iter(pair["value"].values()), None) for pair in found}


def _of_protobuf(service: str, span: Any) -> Seen:
    return Seen(
        service,
        span.name,
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        span.start_time_unix_nano,
        span.end_time_unix_nano,
        _attributes(MessageToDict(span).get("attributes", [])),
        frozenset((link.trace_id.hex(), link.span_id.hex()) for link in span.links),
    )


def _of_json(service: str, span: dict[str, Any]) -> Seen:
    return Seen(
        service,
        span["name"],
        span["traceId"],
        span["spanId"],
        span.get("parentSpanId", ""),
        int(span["startTimeUnixNano"]),
        int(span["endTimeUnixNano"]),
        _attributes(span.get("attributes", [])),
        frozenset((link["traceId"], link["spanId"]) for link in span.get("links", [])),
    )
