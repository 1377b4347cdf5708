"""What the door asks of Triton server: inference, and what a model is and does."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from ...export.bundle.errors import InvalidRequest, ServerError, ServerUnavailable, from_wire
from .connection import Connections, Reply, Unreachable
from .status import Restarting

_OK = 200
_INVALID = 400
_BUSY = 503
# What Triton server says until the watchdog has started a model's process again, and while it loads a model.
_RESTARTING = ("is not healthy", "is not ready", "unknown model")
_OVERLOADED = ("exceeds maximum queue size", "timeout expired")
# Requests, and answers, of the same shapes have the same JSON, and most have.
_CACHED = 1 << 10
REGION_UNKNOWN = "unable to find shared memory region"


class RegionUnknown(Exception):
    """Triton server does not know the shared memory that a request refers to: nothing was run."""


# Tuples, because a search makes twenty of these, and a frozen dataclass takes four times as long.
class Tensor(NamedTuple):
    """An input: its bytes, or where they lie in the shared memory that is registered as ``region``.

    Of those that are searched with, ``digest`` is the SHA-256.
    """

    name: str
    datatype: str
    shape: Sequence[int]
    raw: bytes = b""
    region: str = ""
    offset: int = 0
    size: int = 0
    digest: bytes = b""


class Output(NamedTuple):
    """An output of a model, with its batch."""

    name: str
    datatype: str
    shape: Sequence[int]
    raw: memoryview


class Upstream:
    """Triton server on its unix socket.

    A call runs to its end: nobody's deadline or cancel reaches the server, which dies of them. Callers who may stop
    waiting await a task of their own.

    Args:
        socket: where the server listens for HTTP.
    """

    def __init__(self, socket: Path) -> None:
        self._connections = Connections(socket)

    async def infer(
        self, model: str, tensors: Sequence[Tensor], outputs: Sequence[str], headers: str = ""
    ) -> list[Output]:
        """Run a model.

        Args:
            headers: lines of further headers.

        Raises:
            Restarting: the server or one of the model's processes is not there at present.
            RegionUnknown: a tensor's shared memory is not registered.
            FramesiftError: the model's own refusal or failure.
        """
        raw = [tensor.raw for tensor in tensors if not tensor.region]
        usual = len(raw) == len(tensors)
        described = tuple((each.name, each.datatype, tuple(each.shape), len(each.raw)) for each in tensors)
        head = _usual(described, tuple(outputs)) if usual else _head(map(_described, tensors), outputs)
        reply = await self._request("POST", f"/v2/models/{model}/infer", head, raw, inference=True, headers=headers)
        if reply.status != _OK:
            raise _failure(reply)
        return _outputs(reply)

    async def get(self, path: str) -> Any:
        """The JSON at ``path``, None where the answer is empty.

        Raises:
            Restarting: the server is not there at present.
            FramesiftError: it refused.
        """
        reply = await self._request("GET", path)
        if reply.status != _OK:
            raise _failure(reply)
        return json.loads(reply.body) if reply.body else None

    async def ready(self, model: str | None = None) -> bool:
        """Whether the server says that it, or one of its models, is ready."""
        path = "/v2/health/ready" if model is None else f"/v2/models/{model}/ready"
        try:
            return (await self._request("GET", path)).status == _OK
        except Restarting:
            return False

    async def register(self, region: str, key: str, size: int) -> None:
        """Make shared memory known as ``region``; ``key`` is its name below /dev/shm, ``size`` its bytes.

        Raises:
            Restarting: the server is not there at present.
            ServerError: it can't be mapped.
        """
        path = f"/v2/systemsharedmemory/region/{region}/register"
        reply = await self._request("POST", path, json.dumps({"key": key, "offset": 0, "byte_size": size}).encode())
        if reply.status != _OK and "already in manager" not in _message(reply):
            raise _failure(reply)

    async def text(self, path: str) -> str:
        """The text at ``path``, empty where there is none."""
        try:
            reply = await self._request("GET", path)
        except Restarting:
            return ""
        return reply.body.decode("utf-8", "replace") if reply.status == _OK else ""

    def close(self) -> None:
        """Close idle connections."""
        self._connections.close()

    async def _request(self, *args: Any, **options: Any) -> Reply:
        try:
            return await self._connections.request(*args, **options)
        except Unreachable as error:
            raise Restarting("Triton server is being started again") from error


@lru_cache(_CACHED)
def _usual(described: Sequence[tuple[str, str, Sequence[int], int]], outputs: Sequence[str]) -> bytes:
    """The JSON of a request whose tensors all follow it, by their names, types, shapes and bytes."""
    inputs = (_input(name, datatype, shape, {"binary_data_size": size}) for name, datatype, shape, size in described)
    return _head(inputs, outputs)


def _head(inputs: Iterable[dict[str, Any]], outputs: Sequence[str]) -> bytes:
    wanted = [{"name": name, "parameters": {"binary_data": True}} for name in outputs]
    return json.dumps({"inputs": list(inputs), "outputs": wanted}).encode()


def _described(tensor: Tensor) -> dict[str, Any]:
    parameters: dict[str, Any] = {"binary_data_size": len(tensor.raw)}
    if tensor.region:
        parameters = {
            "shared_memory_region": tensor.region,
            "shared_memory_offset": tensor.offset,
            "shared_memory_byte_size": tensor.size,
        }
    return _input(tensor.name, tensor.datatype, tensor.shape, parameters)


def _input(name: str, datatype: str, shape: Sequence[int], parameters: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": list(shape), "parameters": parameters}


def _outputs(reply: Reply) -> list[Output]:
    body, start = memoryview(reply.body), reply.head_bytes
    outputs = []
    for name, datatype, shape, size in _told(reply.body[:start]):
        outputs.append(Output(name, datatype, shape, body[start : start + size]))
        start += size
    return outputs


@lru_cache(_CACHED)
def _told(head: bytes) -> Sequence[tuple[str, str, Sequence[int], int]]:
    """What the JSON of an answer tells of the tensors behind it: names, types, shapes and bytes."""
    return [
        (each["name"], each["datatype"], tuple(each["shape"]), each["parameters"]["binary_data_size"])
        for each in json.loads(head)["outputs"]
    ]


def _message(reply: Reply) -> str:
    try:
        return str(json.loads(reply.body)["error"])
    except (ValueError, KeyError, TypeError):
        return f"Triton server answered with status {reply.status}"


def _failure(reply: Reply) -> Exception:
    """The error of a failed request. What a model of ours says is passed on; Triton server's own words hold paths."""
    message = _message(reply)
    if (known := from_wire(message)) is not None:
        return known
    lowered = message.lower()
    if REGION_UNKNOWN in lowered:
        return RegionUnknown(message)
    if any(sign in lowered for sign in _RESTARTING):
        return Restarting("a model is being started again")
    if reply.status == _BUSY or any(sign in lowered for sign in _OVERLOADED):
        return ServerUnavailable("the server has too much to do: try again in a moment")
    if reply.status == _INVALID:
        return InvalidRequest(message.partition("\n")[0])
    return ServerError("the server could not answer; its log says why")
