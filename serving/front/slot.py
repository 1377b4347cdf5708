"""A part of shared memory that holds the tensors of one request."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
from collections.abc import AsyncIterator

from ...export.bundle.errors import ServerUnavailable
from ...export.bundle.whole_write import write_at

_KEEP_SIZE, _PUNCH_HOLE = 1, 2
_ALIGNED = 64
_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
# An upload that has come for so long, and slower than so many bytes a second, gives way to a caller who has no slot.
# Others are never cut off: they use what they hold.
TURN_S = 15.0
PACE = 1 << 20


class Slot:
    """A part of the arena that holds the tensors of one request.

    Attributes:
        region: the arena's name, as Triton server knows it.
        expected: bytes of the request that it was given to.
    """

    def __init__(self, region: str, file: int, start: int, size: int) -> None:
        self.region = region
        self.expected = 0
        self._file, self._start, self._size = file, start, size
        self._used = 0
        self._since = 0.0
        # Without a time while the tensors may arrive as slowly as they like.
        self._patience: asyncio.Timeout | None = None

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
            write_at(self._file, part, self._start + self._used)
        except OSError as error:
            raise ServerUnavailable(
                f"the server's shared memory is full ({error.strerror}): try again later"
            ) from error
        self._used += len(part)

    @contextlib.asynccontextmanager
    async def arriving(self) -> AsyncIterator[None]:
        """The time in which the tensors arrive, which ends early where they have to give way.

        Raises:
            ServerUnavailable: they had to.
        """
        self._since = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(None) as self._patience:
                yield
        except TimeoutError:
            raise ServerUnavailable(
                "others wait for room in the server's shared memory, and the upload came slowly: try again"
            ) from None
        finally:
            self._patience = None

    @property
    def giving_way(self) -> bool:
        """Whether it was told to, and has not done so yet."""
        return self._patience is not None and self._patience.when() is not None

    def slow(self, now: float) -> bool:
        """Whether its tensors have had their time, and arrive too slowly."""
        came = now - self._since
        return self._patience is not None and came > TURN_S and self._used < PACE * came

    def to_go(self, now: float) -> float:
        """Seconds that the rest will take at the pace so far."""
        return (self.expected - self._used) * (now - self._since) / max(1, self._used)

    def give_way(self) -> None:
        """End the time in which its tensors arrive."""
        assert self._patience is not None
        self._patience.reschedule(asyncio.get_running_loop().time())

    def clear(self) -> None:
        """Give the memory back to the machine."""
        give_back(self._file, self._start, self._size)
        self._used = 0


def give_back(file: int, start: int, size: int) -> None:
    """Give the memory of a part of a file back to the machine."""
    _LIBC.fallocate(file, _KEEP_SIZE | _PUNCH_HOLE, start, size)
