"""The promises that every attack on the door tries: no process ends, the same answer comes, memory stays flat."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import grpc.aio

from framesift.errors import FramesiftError

from .table import Progress, Row
from .target import Target, asked, resident

_EVERY = 1000
Send = Callable[[grpc.aio.Channel, int], Awaitable[None]]
# Buffers and allocators fill up at first; what comes after that is growth.
_SETTLED = 0.3
_FEWEST = 8
MOST_GROWTH = 32 << 20


class Steady:
    """Looks at a target after every thousand tries.

    Args:
        name: of the attack, for the rows.
    """

    def __init__(self, target: Target, name: str) -> None:
        self._target = target
        self._processes = target.processes()
        self._sizes: list[dict[str, int]] = []
        self.alive = Row(f"{name}: no process ends")
        self.same = Row(f"{name}: the same right answer after every thousand")
        self._name = name

    def look(self, where: str, tries: int) -> None:
        """After ``tries`` more; ``where`` says of which."""
        found = self._target.processes()
        gone = sorted(name for name, pids in self._processes.items() if found.get(name) != pids)
        self.alive.tried += tries
        self.alive.held += 0 if gone else tries
        if gone:
            self.alive.fell.append(f"{', '.join(gone)} ended in {where}")
            self._target.wait()
            self._processes = self._target.processes()
        try:
            with self._target.client(timeout_s=60) as client:
                answer = asked(client, self._target.clips)
        except FramesiftError as error:
            self.same.see(False, f"{error} after {where}")
        else:
            self.same.see(answer == self._target.answer, f"{answer} after {where}")
        if not gone:
            self._sizes.append({name: resident(found[name][0]) for name in ("door", "tritonserver")})

    async def run(self, send: Send, count: int, clients: int, seed: int, progress: Progress) -> None:
        """Make ``count`` tries by ``send``, which is told a connection and the try's number, and look in between.

        Args:
            clients: how many tries are made at a time, each on a connection of its own.
        """
        options = [("grpc.use_local_subchannel_pool", 1)]
        channels = [grpc.aio.insecure_channel(self._target.server.address, options) for _ in range(clients)]
        for first in range(0, count, _EVERY):
            numbers = iter(range(first, min(count, first + _EVERY)))

            async def client(channel: grpc.aio.Channel, numbers=numbers) -> None:
                for number in numbers:
                    await send(channel, number)

            await asyncio.gather(*map(client, channels))
            tries = min(_EVERY, count - first)
            await asyncio.to_thread(self.look, f"seed {seed}, numbers {first} to {first + tries}", tries)
            progress(tries)
        for channel in channels:
            await channel.close()

    def rows(self) -> list[Row]:
        """The promises; that on memory where there was enough to look at."""
        if len(self._sizes) < _FEWEST:
            return [self.alive, self.same]
        flat = Row(f"{self._name}: memory of the door and of Triton server grows by less than {MOST_GROWTH >> 20} MiB")
        settled = self._sizes[int(_SETTLED * len(self._sizes))]
        grown = {name: self._sizes[-1][name] - size for name, size in settled.items()}
        flat.worst = ", ".join(f"{name} {size / (1 << 20):+.1f} MiB" for name, size in grown.items())
        for name, size in grown.items():
            shown = [each[name] >> 20 for each in self._sizes[:: max(1, len(self._sizes) // 20)]]
            flat.see(size < MOST_GROWTH, f"{name} had, in MiB, {shown}")
        return [self.alive, self.same, flat]
