"""Shared memory in which large tensors reach Triton server: written as they arrive, never put together in Python."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import secrets
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from ...export.bundle.errors import InvalidRequest, ServerUnavailable

ENLARGE = "enlarge /dev/shm where the server runs (docker run --shm-size=1g, or mount -o remount,size=1g /dev/shm)"
_MIB = 1 << 20
_SHARED_MEMORY = Path("/dev/shm")
_KEEP_SIZE, _PUNCH_HOLE = 1, 2
_ALIGNED = 64
# What a door that died had sent is answered by then.
_OLD_S = 900.0
_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)


class Slot:
    """A part of the arena that holds the tensors of one request.

    Attributes:
        region: the arena's name, as Triton server knows it.
    """

    def __init__(self, region: str, file: int, start: int, size: int) -> None:
        self.region = region
        self._file, self._start, self._size = file, start, size
        self._used = 0

    def begin(self) -> int:
        """The offset in the arena at which the next tensor begins."""
        self._used = -(-self._used // _ALIGNED) * _ALIGNED
        return self._start + self._used

    def write(self, part: bytes | memoryview) -> None:
        """Append to the present tensor.

        Raises:
            ServerUnavailable: the machine's shared memory is full.
        """
        assert self._used + len(part) <= self._size
        try:
            done = 0
            while done < len(part):
                done += os.pwrite(self._file, part[done:], self._start + self._used + done)
        except OSError as error:
            raise ServerUnavailable(
                f"the server's shared memory is full ({error.strerror}): try again later"
            ) from error
        self._used += len(part)

    def clear(self) -> None:
        """Give the memory back to the machine."""
        _give_back(self._file, self._start, self._size)
        self._used = 0


@dataclass(eq=False)
class _Turn:
    """Who waits for a slot."""

    caller: str
    size: int
    slot: asyncio.Future[Slot]


class Arena:
    """A sparse file in shared memory, divided into slots.

    Every door has a file of its own: Triton server reads a video when it decodes it, so what a door that died had sent
    must stay as it is for a while.

    Args:
        name: begins the file's name below /dev/shm.
        slots: requests with large tensors that are received or answered at once, two at least.
        size: bytes of a slot.
        room: the bytes of requests that may be here at once; more would fill the machine's shared memory.
    """

    def __init__(self, name: str, slots: int, size: int, room: int) -> None:
        self._old = [os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW) for path in _files(name)]
        self.region = f"{name}-{secrets.token_hex(8)}"
        self.key = f"/{self.region}"
        self.size = slots * size
        # Nobody else can have made a file of this name, nor put a link in its place.
        flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
        self._file = os.open(_SHARED_MEMORY / self.region, flags, 0o600)
        os.ftruncate(self._file, self.size)
        self._slots = [Slot(self.region, self._file, number * size, size) for number in range(slots)]
        # One is left for others, whatever a caller sends.
        self._most = slots - 1
        self._held: Counter[str] = Counter()
        self._room = self._left = room
        self._waiting: list[_Turn] = []

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
            _give_back(file, 0, os.fstat(file).st_size)
            os.close(file)

    def close(self) -> None:
        """Let go of the file; its name is removed with the run's other shared memory."""
        for file in (self._file, *self._old):
            os.close(file)

    def _grant(self) -> None:
        while self._slots:
            able = [turn for turn in self._waiting if self._held[turn.caller] < self._most and not turn.slot.done()]
            if not able:
                return
            turn = min(able, key=lambda each: self._held[each.caller])
            # Whose turn it is waits for its room: small ones that passed by would keep a large one out for ever.
            if turn.size > self._left:
                return
            self._waiting.remove(turn)
            self._held[turn.caller] += 1
            self._left -= turn.size
            turn.slot.set_result(self._slots.pop())

    def _release(self, turn: _Turn, slot: Slot) -> None:
        slot.clear()
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


def _give_back(file: int, start: int, size: int) -> None:
    _LIBC.fallocate(file, _KEEP_SIZE | _PUNCH_HOLE, start, size)
