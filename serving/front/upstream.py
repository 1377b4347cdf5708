"""What the door asks of Triton server: inference, and what a model is and does."""

from __future__ import annotations

import json
from collections.abc import Sequence
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
REGION_UNKNOWN = "unable to find shared memory region"


class RegionUnknown(Exception):
    """Triton server does not know the shared memory that a request refers to: nothing was run."""


# Tuples, because a search makes twenty of these, and a frozen dataclass takes four times as long.
class Tensor(NamedTuple):
    """An input: its bytes, or where they lie in the shared memory that is registered as ``region``."""

    name: str
    datatype: str
    shape: Sequence[int]
    raw: bytes = b""
    region: str = ""
    offset: int = 0
    size: int = 0


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
        head = {"inputs": [_described(tensor) for tensor in tensors], "outputs": [_wanted(name) for name in outputs]}
        raw = [tensor.raw for tensor in tensors if not tensor.region]
        reply = await self._request(
            "POST", f"/v2/models/{model}/infer", json.dumps(head).encode(), raw, inference=True, headers=headers
        )
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


def _described(tensor: Tensor) -> dict[str, Any]:
    if tensor.region:
        parameters: dict[str, Any] = {
            "shared_memory_region": tensor.region,
            "shared_memory_offset": tensor.offset,
            "shared_memory_byte_size": tensor.size,
        }
    else:
        parameters = {"binary_data_size": len(tensor.raw)}
    return {
        "name": tensor.name,
        "datatype": tensor.datatype,
        "shape": list(tensor.shape),
        "parameters": parameters,
    }


def _wanted(name: str) -> dict[str, Any]:
    return {"name": name, "parameters": {"binary_data": True}}


def _outputs(reply: Reply) -> list[Output]:
    found = json.loads(reply.body[: reply.head_bytes])
    body, start = memoryview(reply.body), reply.head_bytes
    outputs = []
    for output in found["outputs"]:
        size = output["parameters"]["binary_data_size"]
        outputs.append(Output(output["name"], output["datatype"], output["shape"], body[start : start + size]))
        start += size
    return outputs


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
