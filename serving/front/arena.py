"""Shared memory in which large tensors reach Triton server: written as they arrive, never put together in Python."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from ...export.bundle.errors import InvalidRequest
from .slot import Slot, give_back

ENLARGE = "enlarge /dev/shm where the server runs (docker run --shm-size=1g, or mount -o remount,size=1g /dev/shm)"
_MIB = 1 << 20
_SHARED_MEMORY = Path("/dev/shm")
# What a door that died had sent is answered by then.
_OLD_S = 900.0
# How often it is looked, while a caller waits who has no slot, whether a slow upload has to give way.
_LOOK_S = 0.5


@dataclass(eq=False)
class _Turn:
    """Who waits for a slot, and then holds it."""

    caller: str
    size: int
    slot: asyncio.Future[Slot]


class Arena:
    """A sparse file in shared memory, divided into slots.

    Slots are many, because one that nothing is written to takes no memory: callers that send slowly keep nobody out who
    has none. Once all are taken, or their room, the slowest uploads give way to such a caller.

    Every door has a file of its own: Triton server reads a video when it decodes it, so what a door that died had sent
    must stay as it is for a while.

    Args:
        name: begins the file's name below /dev/shm.
        slots: requests with large tensors that are received or answered at once.
        most: those of one caller.
        size: bytes of a slot.
        room: the bytes of requests that may be here at once; more would fill the machine's shared memory.
    """

    def __init__(self, name: str, slots: int, most: int, size: int, room: int) -> None:
        self._old = [os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW) for path in _files(name)]
        self.region = f"{name}-{secrets.token_hex(8)}"
        self.key = f"/{self.region}"
        self.size = slots * size
        # Nobody else can have made a file of this name, nor put a link in its place.
        flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
        self._file = os.open(_SHARED_MEMORY / self.region, flags, 0o600)
        os.ftruncate(self._file, self.size)
        self._slots = [Slot(self.region, self._file, number * size, size) for number in range(slots)]
        self._most = most
        self._held: Counter[str] = Counter()
        self._room = self._left = room
        self._waiting: list[_Turn] = []
        self._holding: list[_Turn] = []
        self._look: asyncio.TimerHandle | None = None

    @contextlib.asynccontextmanager
    async def slot(self, caller: str, size: int) -> AsyncIterator[Slot]:
        """Wait for a slot and room for ``size`` bytes; it is cleared in the end. Whoever holds the fewest is next.

        Raises:
            InvalidRequest: there is never so much room.
        """
        if size > self._room:
            raise InvalidRequest(
                f"the request has {size / _MIB:.1f} MiB, and the server's shared memory has room for one of "
                f"{self._room / _MIB:.1f}: {ENLARGE}"
            )
        turn = _Turn(caller, size, asyncio.get_running_loop().create_future())
        self._waiting.append(turn)
        self._grant()
        try:
            slot = await turn.slot
        except BaseException:
            if turn in self._waiting:
                self._waiting.remove(turn)
                # Others may have waited behind it for room that they need not.
                self._grant()
            elif not turn.slot.cancelled():
                self._release(turn, turn.slot.result())
            raise
        try:
            yield slot
        finally:
            self._release(turn, slot)

    async def forget_old(self) -> None:
        """Give back, after a while, the memory of doors that died."""
        await asyncio.sleep(_OLD_S)
        while self._old:
            file = self._old.pop()
            give_back(file, 0, os.fstat(file).st_size)
            os.close(file)

    def close(self) -> None:
        """Let go of the file; its name is removed with the run's other shared memory."""
        if self._look is not None:
            self._look.cancel()
        for file in (self._file, *self._old):
            os.close(file)

    def _grant(self) -> None:
        if self._look is not None:
            self._look.cancel()
            self._look = None
        # Whose turn it is waits for its room: small ones that passed by would keep a large one out for ever.
        while (turn := self._next()) is not None and self._slots and turn.size <= self._left:
            slot = self._slots.pop()
            slot.expected = turn.size
            self._waiting.remove(turn)
            self._holding.append(turn)
            self._held[turn.caller] += 1
            self._left -= turn.size
            turn.slot.set_result(slot)
        # Whoever has a slot is served already.
        if turn is not None and not self._held[turn.caller]:
            self._press()

    def _next(self) -> _Turn | None:
        able = [turn for turn in self._waiting if self._held[turn.caller] < self._most and not turn.slot.done()]
        return min(able, key=lambda each: self._held[each.caller], default=None)

    def _press(self) -> None:
        """Let one slow upload give way, if there is one by now, and look again soon.

        It is one of whoever holds the most, and of those the one that would take the longest.
        """
        loop = asyncio.get_running_loop()
        now = loop.time()
        held = [(turn.caller, turn.slot.result()) for turn in self._holding]
        slow = [(caller, slot) for caller, slot in held if slot.slow(now)]
        if slow and not any(slot.giving_way for _, slot in held):
            max(slow, key=lambda each: (self._held[each[0]], each[1].to_go(now)))[1].give_way()
        self._look = loop.call_later(_LOOK_S, self._grant)

    def _release(self, turn: _Turn, slot: Slot) -> None:
        slot.clear()
        self._holding.remove(turn)
        self._held[turn.caller] -= 1
        if not self._held[turn.caller]:
            del self._held[turn.caller]
        self._left += turn.size
        self._slots.append(slot)
        self._grant()


def _files(name: str) -> list[Path]:
    """The files of doors of this run that died; who else made one keeps it."""
    found = [path for path in _SHARED_MEMORY.glob(f"{name}-*") if not path.is_symlink()]
    return [path for path in found if path.stat().st_uid == os.getuid()]
