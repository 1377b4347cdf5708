"""Shared memory in which large tensors reach Triton server: written as they arrive, never put together in Python."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
from collections.abc import AsyncIterator
from pathlib import Path

from ...export.bundle.errors import ServerUnavailable

REGION = "arena"
_SHARED_MEMORY = Path("/dev/shm")
_KEEP_SIZE, _PUNCH_HOLE = 1, 2
_ALIGNED = 64
_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)


class Slot:
    """A part of the arena that holds the tensors of one request."""

    def __init__(self, file: int, start: int, size: int) -> None:
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
        _LIBC.fallocate(self._file, _KEEP_SIZE | _PUNCH_HOLE, self._start, self._size)
        self._used = 0


class Arena:
    """A sparse file in shared memory, divided into slots.

    Args:
        name: the file's name below /dev/shm; it is made, or taken over from a door that died.
        slots: requests with large tensors that are received or answered at once.
        size: bytes of a slot.
    """

    def __init__(self, name: str, slots: int, size: int) -> None:
        self.key = f"/{name}"
        self.size = slots * size
        self._file = os.open(_SHARED_MEMORY / name, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        os.ftruncate(self._file, self.size)
        self._slots = [Slot(self._file, number * size, size) for number in range(slots)]
        for slot in self._slots:
            slot.clear()
        self._free = asyncio.Semaphore(slots)

    @contextlib.asynccontextmanager
    async def slot(self) -> AsyncIterator[Slot]:
        """Wait for a slot; it is cleared in the end."""
        async with self._free:
            slot = self._slots.pop()
            try:
                yield slot
            finally:
                slot.clear()
                self._slots.append(slot)

    def close(self) -> None:
        """Let go of the file; its name is removed with the run's other shared memory."""
        os.close(self._file)
