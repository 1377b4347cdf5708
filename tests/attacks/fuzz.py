"""Requests of every kind to every model, method and interface: each is answered, with a typed error if it is wrong."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable

import grpc.aio
from grpc._cython.cygrpc import ExecuteBatchError
from tritonclient.grpc import service_pb2 as pb

from framesift.serving.front.deployment import public_models
from framesift.serving.front.service import SERVICE, STREAM

from .interfaces import METHODS, http_status, noise
from .mutations import Chance
from .requests import Requests, broken, chance_of
from .steady import Steady
from .table import Progress, Row
from .target import SENT, Target

INFER = f"{SERVICE}ModelInfer"
# What the door may answer. Whatever else there is, INTERNAL and UNKNOWN above all, is somebody's mistake.
CODES = frozenset(
    ("OK", "INVALID_ARGUMENT", "NOT_FOUND", "UNIMPLEMENTED", "RESOURCE_EXHAUSTED", "UNAVAILABLE", "UNAUTHENTICATED")
)
LEAKS = ("/tmp/", "/home/", ".venv", "site-packages", "Traceback", ".py", "onnxruntime/core")
# How gRPC's client calls a stream that ended while something was being written to it: no word of the door's.
_CUT_SHORT = "Internal error from Core"
_CLIENTS = 12
_PATIENCE_S = 60.0


class Fuzzer:
    """Sends one request after another.

    Attributes:
        codes: how many answers of each kind there were.
    """

    def __init__(self, target: Target, seed: int) -> None:
        self._target, self._seed = target, seed
        videos = {clip.video.name: clip.video.read_bytes() for clip in target.clips[:SENT]}
        self._requests = Requests(public_models(target.bundle.manifest), videos, target.bundle.manifest.fingerprint)
        self.codes: Counter[str] = Counter()
        self.typed = Row("fuzz: every answer is of a kind that the door promises, within a minute")
        self.whole = Row("fuzz: every model that the server says may be called was tried")
        self.silent = Row("fuzz: no error shows a path or a traceback of the server")

    async def send(self, channel: grpc.aio.Channel, number: int) -> None:
        """The request of that number."""
        chance = chance_of(self._seed, "fuzz", number)
        kinds: tuple[Callable[[grpc.aio.Channel, Chance, str], Awaitable[None]], ...]
        kinds = (self._unary, self._stream, self._method, self._http)
        kind = chance.choices(kinds, (80, 8, 8, 4))[0]
        await kind(channel, chance, f"seed {self._seed}, number {number}")

    async def _unary(self, channel: grpc.aio.Channel, chance: Chance, where: str) -> None:
        compression = grpc.Compression.Gzip if chance.random() < 0.05 else None
        message = self._requests.message(chance)
        await self._judged(channel.unary_unary(INFER)(message, **self._options(chance), compression=compression), where)

    async def _method(self, channel: grpc.aio.Channel, chance: Chance, where: str) -> None:
        method = channel.unary_unary(chance.choice(METHODS))
        known = pb.ModelConfigRequest(name="search").SerializeToString()
        message = chance.choice(
            (b"", known, broken(known, chance), chance.randbytes(40), self._requests.message(chance))
        )
        await self._judged(method(message, **self._options(chance)), where)

    async def _stream(self, channel: grpc.aio.Channel, chance: Chance, where: str) -> None:
        call = channel.stream_stream(STREAM)(**self._options(chance))
        count = chance.randint(1, 6)

        async def talk() -> None:
            # A call that the door has ended already takes nothing more.
            with contextlib.suppress(asyncio.InvalidStateError, ExecuteBatchError):
                for _ in range(count):
                    await call.write(self._requests.message(chance))
                await call.done_writing()
            while (raw := await call.read()) is not grpc.aio.EOF:
                self._told(pb.ModelStreamInferResponse.FromString(raw).error_message, where)

        await self._judged(talk(), where)

    async def _http(self, channel: grpc.aio.Channel, chance: Chance, where: str) -> None:
        status = await http_status(self._target.server.address, noise(chance, self._target.header()[1]))
        self.codes[f"HTTP {status}"] += 1
        # None is an answer to what is no HTTP, or not a whole request.
        self.typed.see(status is None or (status < 600 and status not in (500, 502, 504)), f"HTTP {status} to {where}")

    async def _judged(self, answer: Awaitable[object], where: str) -> None:
        try:
            await answer
            code, details = "OK", ""
        except grpc.aio.AioRpcError as error:
            code, details = error.code().name, error.details() or ""
        if details == _CUT_SHORT:
            code, details = "OK", ""
        self.codes[code] += 1
        self.typed.see(code in CODES, f"{code} {details[:200]!r} to {where}")
        self._told(details, where)

    def _told(self, message: str, where: str) -> None:
        if message:
            self.silent.see(not any(leak in message for leak in LEAKS), f"{message[:200]!r} to {where}")

    def _options(self, chance: Chance) -> dict:
        header = self._target.header() if chance.random() < 0.98 else ("authorization", chance.choice(("", "Bearer x")))
        return {"metadata": [header], "timeout": _PATIENCE_S}

    def end(self) -> list[Row]:
        """The promises."""
        for model in _callable(self._target):
            self.whole.see(model in self._requests.tried, f"{model} was not")
        self.typed.worst = ", ".join(f"{code} {seen:,}" for code, seen in self.codes.most_common())
        return [self.typed, self.silent, self.whole]


def _callable(target: Target) -> list[str]:
    """The models that may be called, in the server's own words."""
    asked = pb.ModelMetadataRequest(name="none of them").SerializeToString()
    with grpc.insecure_channel(target.server.address) as channel:
        try:
            channel.unary_unary(f"{SERVICE}ModelMetadata")(asked, metadata=[target.header()], timeout=_PATIENCE_S)
        except grpc.RpcError as error:
            return str(error.details()).partition("; there are ")[2].split(", ")
    raise AssertionError("a model of no name was described")


def attack(target: Target, count: int, seed: int, progress: Progress) -> list[Row]:
    """Send ``count`` requests, a dozen at a time."""
    steady, fuzzer = Steady(target, "fuzz"), Fuzzer(target, seed)
    asyncio.run(steady.run(fuzzer.send, count, _CLIENTS, seed, progress))
    return [*steady.rows(), *fuzzer.end()]
