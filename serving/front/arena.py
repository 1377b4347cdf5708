"""Shared memory in which large tensors reach Triton server: written as they arrive, never put together in Python."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import secrets
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

from ...export.bundle.errors import ServerUnavailable

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


class Arena:
    """A sparse file in shared memory, divided into slots.

    Every door has a file of its own: Triton server reads a video when it decodes it, so what a door that died had sent
    must stay as it is for a while.

    Args:
        name: begins the file's name below /dev/shm.
        slots: requests with large tensors that are received or answered at once, two at least.
        size: bytes of a slot.
    """

    def __init__(self, name: str, slots: int, size: int) -> None:
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
        self._waiting: list[tuple[str, asyncio.Future[Slot]]] = []

    @contextlib.asynccontextmanager
    async def slot(self, caller: str) -> AsyncIterator[Slot]:
        """Wait for a slot; it is cleared in the end. Whoever holds the fewest is next."""
        turn: asyncio.Future[Slot] = asyncio.get_running_loop().create_future()
        self._waiting.append((caller, turn))
        self._grant()
        try:
            slot = await turn
        except BaseException:
            self._waiting = [each for each in self._waiting if each[1] is not turn]
            if turn.done() and not turn.cancelled():
                self._release(caller, turn.result())
            raise
        try:
            yield slot
        finally:
            self._release(caller, slot)

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
            able = [each for each in self._waiting if self._held[each[0]] < self._most and not each[1].done()]
            if not able:
                return
            caller, turn = min(able, key=lambda each: self._held[each[0]])
            self._waiting.remove((caller, turn))
            self._held[caller] += 1
            turn.set_result(self._slots.pop())

    def _release(self, caller: str, slot: Slot) -> None:
        slot.clear()
        self._held[caller] -= 1
        if not self._held[caller]:
            del self._held[caller]
        self._slots.append(slot)
        self._grant()


def _files(name: str) -> list[Path]:
    """The files of doors of this run that died; who else made one keeps it."""
    found = [path for path in _SHARED_MEMORY.glob(f"{name}-*") if not path.is_symlink()]
    return [path for path in found if path.stat().st_uid == os.getuid()]


def _give_back(file: int, start: int, size: int) -> None:
    _LIBC.fallocate(file, _KEEP_SIZE | _PUNCH_HOLE, start, size)
