"""What can be asked beside inference: gRPC's other methods, HTTP, and bytes that are neither."""

from __future__ import annotations

import asyncio
import contextlib
import json

from framesift.serving.front.service import SERVICE

from .mutations import Chance

METHODS = (
    *(f"{SERVICE}{name}" for name in ("ServerLive", "ServerReady", "ServerMetadata", "ModelReady", "ModelMetadata")),
    *(f"{SERVICE}{name}" for name in ("ModelConfig", "ModelStatistics", "RepositoryIndex", "RepositoryModelLoad")),
    *(f"{SERVICE}{name}" for name in ("RepositoryModelUnload", "SystemSharedMemoryRegister", "TraceSetting")),
    *(f"{SERVICE}{name}" for name in ("SystemSharedMemoryUnregister", "CudaSharedMemoryStatus", "LogSettings", "")),
    "/grpc.health.v1.Health/Check",
    "/grpc.health.v1.Health/Watch",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    "/inference.GRPCInferenceService",
    f"/{'m' * 2000}/x",
)
_PATHS = (
    *("/", "/metrics", "/v2", "/v2/health/live", "/v2/health/ready", "/v2/models/search/ready", "/v2/models/search"),
    *("/v2/models/search/infer", "/v2/models/text_encoder/infer", "/v2/repository/index", "/v2/logging", "/stats"),
    *("/v2/repository/models/search/load", "/v2/systemsharedmemory/status", "/quitquitquit", "/config_dump"),
    *("/../../etc/passwd", "/v2/models/%2e%2e/ready", "/%00", "/" + "a" * 9000, "*", "//", "/v2/models//ready"),
)
_METHODS = ("GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "CONNECT", "TRACE", "get", "X" * 50)
_HEADERS = (
    "Content-Length: 5",
    "Content-Length: -1",
    "Content-Length: 99999999999999999999",
    "Transfer-Encoding: chunked",
    "Inference-Header-Content-Length: -5",
    "Content-Type: application/grpc",
    "Authorization: Bearer fs_guessed",
    "Host: x" * 3,
    "Expect: 100-continue",
    "Upgrade: h2c",
    "X: " + "y" * 70_000,
)
# The door waits longer for the rest of a request, and this client leaves before.
_PATIENCE_S = 1.0
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def noise(chance: Chance, authorization: str) -> bytes:
    """What a client sends on a connection of its own: HTTP/1.1, the start of HTTP/2, or neither.

    Args:
        authorization: the header with which requests for inference are let in.
    """
    kind = chance.randrange(12)
    if kind > 9:
        return _inference(chance, authorization)
    if kind == 0:
        return chance.randbytes(chance.choice((1, 50, 5000)))
    if kind == 1:
        # Frames of HTTP/2 with a type, flags, a stream and a length of their own.
        frames = b"".join(
            chance.choice((0, 8, 16_384, 1 << 23)).to_bytes(3, "big") + chance.randbytes(6 + chance.randrange(40))
            for _ in range(chance.randint(1, 5))
        )
        return _PREFACE + frames
    headers = chance.sample(_HEADERS, chance.choice((0, 0, 1, 2)))
    head = [f"{chance.choice(_METHODS)} {chance.choice(_PATHS)} HTTP/1.{chance.choice('0112')}", "Host: door", *headers]
    body = chance.choice((b"", b"hello", b"{}", b'{"inputs": [{"name": "text"}]}', b"5\r\nhello\r\n0\r\n\r\n"))
    return "\r\n".join([*head, "", ""]).encode() + body


def _inference(chance: Chance, authorization: str) -> bytes:
    """KServe v2 over HTTP, right in a third of all cases."""
    text = chance.choice((b"a red circle", b"\xff\xfe", b"", b"x" * 70_000))
    shapes = {"text": [1, len(text)], "text_length": [1, 1], "top": [1, 1]}
    values = {"text": list(text), "text_length": [len(text)], "top": [3]}
    datatypes = {"text": "UINT8", "text_length": "INT32", "top": "INT32"}
    inputs = [
        {"name": name, "shape": shapes[name], "datatype": datatypes[name], "data": values[name]} for name in shapes
    ]
    asked: dict = {"inputs": inputs}
    odd = (None, True, -1, 1 << 62, 1 << 70, 0.5, 1e400, "", "x", [], {}, [[[]]], ["3"])
    for _ in range(chance.choice((0, 1, 1, 2))):
        holder = chance.choice((asked, *inputs))
        holder[chance.choice((*holder, "parameters", "outputs", "id"))] = chance.choice(odd)
    body = json.dumps(asked).encode()
    if chance.random() < 0.1:
        body = body[: chance.randrange(len(body))]
    model = chance.choice(("search", "search", "search", "score_text", "text_encoder", "gallery_lookup"))
    head = [f"POST /v2/models/{model}/infer HTTP/1.1", "Host: door", f"Authorization: {authorization}"]
    if chance.random() < 0.2:
        head.append(f"Inference-Header-Content-Length: {chance.choice((0, 5, 1 << 40))}")
    return "\r\n".join([*head, f"Content-Length: {len(body)}", "", ""]).encode() + body


async def http_status(address: str, sent: bytes) -> int | None:
    """The status that comes back; None where the connection is closed without one, or the request was but a part."""
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        with contextlib.suppress(OSError, TimeoutError):
            writer.write(sent)
            await writer.drain()
            writer.write_eof()
            line = await asyncio.wait_for(reader.readline(), _PATIENCE_S)
            words = line.split(b" ")
            return int(words[1]) if words[0].startswith(b"HTTP/1.") and words[1:] and words[1].isdigit() else None
        return None
    finally:
        writer.close()
