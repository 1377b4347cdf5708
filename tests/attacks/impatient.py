"""Clients that lose their patience: deadlines, cancels, streams that nobody reads to their end."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter

import grpc.aio
from grpc._cython.cygrpc import ExecuteBatchError

from framesift.serving.front.deployment import public_models
from framesift.serving.front.service import STREAM

from .fuzz import INFER
from .mutations import Chance
from .requests import Requests, chance_of
from .steady import Steady
from .table import Progress, Row
from .target import SENT, Target

_CLIENTS = 32
# In seconds. A search takes some milliseconds, so that many of these end while it is being answered.
_DEADLINES = (0.001, 0.06)


class Impatient:
    """Begins calls and leaves them.

    Attributes:
        ends: how many calls ended in each way.
    """

    def __init__(self, target: Target, seed: int) -> None:
        self._target, self._seed = target, seed
        publics = public_models(target.bundle.manifest)
        self._search = publics["search"]
        videos = {clip.video.name: clip.video.read_bytes() for clip in target.clips[:SENT]}
        self._requests = Requests(publics, videos, target.bundle.manifest.fingerprint)
        self.ends: Counter[str] = Counter()

    async def send(self, channel: grpc.aio.Channel, number: int) -> None:
        """The call of that number."""
        chance = chance_of(self._seed, "impatient", number)
        kind = chance.choices((self._deadline, self._cancel, self._stream, self._half), (55, 25, 10, 10))[0]
        try:
            await kind(channel, chance)
            self.ends["answered"] += 1
        except grpc.aio.AioRpcError as error:
            self.ends[error.code().name] += 1
        except asyncio.CancelledError:
            self.ends["CANCELLED"] += 1
        except (grpc.aio.UsageError, ExecuteBatchError):
            # The call ended while something was being written to it.
            self.ends["ended before"] += 1

    async def _deadline(self, channel: grpc.aio.Channel, chance: Chance) -> None:
        await channel.unary_unary(INFER)(self._message(chance), timeout=chance.uniform(*_DEADLINES), **self._header)

    async def _cancel(self, channel: grpc.aio.Channel, chance: Chance) -> None:
        call = channel.unary_unary(INFER)(self._message(chance), timeout=10, **self._header)
        await asyncio.sleep(chance.uniform(0, 0.02))
        call.cancel()
        await call

    async def _stream(self, channel: grpc.aio.Channel, chance: Chance) -> None:
        """Some requests, some answers, and gone, with a deadline or by a cancel."""
        timeout = chance.choice((chance.uniform(*_DEADLINES), 10))
        call = channel.stream_stream(STREAM)(timeout=timeout, **self._header)
        with contextlib.suppress(asyncio.InvalidStateError):
            sent = chance.randint(1, 10)
            for _ in range(sent):
                await call.write(self._message(chance))
            for _ in range(chance.randint(0, min(sent, 3))):
                await call.read()
        call.cancel()

    async def _half(self, channel: grpc.aio.Channel, chance: Chance) -> None:
        """A stream that the client has closed on its side, and then leaves."""
        call = channel.stream_stream(STREAM)(timeout=10, **self._header)
        with contextlib.suppress(asyncio.InvalidStateError):
            for _ in range(chance.randint(0, 5)):
                await call.write(self._message(chance))
            await call.done_writing()
            await asyncio.sleep(chance.uniform(0, 0.02))
        call.cancel()

    def _message(self, chance: Chance) -> bytes:
        if chance.random() < 0.15:
            return self._requests.message(chance)
        encoded: bytes = self._requests.right(chance, self._search).SerializeToString()
        return encoded

    @property
    def _header(self) -> dict:
        return {"metadata": [self._target.header()]}


def attack(target: Target, count: int, seed: int, progress: Progress) -> list[Row]:
    """Make ``count`` calls, 32 at a time."""
    steady, impatient = Steady(target, "deadlines and cancels"), Impatient(target, seed)
    asyncio.run(steady.run(impatient.send, count, _CLIENTS, seed, progress))
    steady.alive.worst = ", ".join(f"{end} {seen:,}" for end, seen in impatient.ends.most_common())
    return steady.rows()
