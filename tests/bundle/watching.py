"""A sandbox, what its processes take, and what becomes of them over a film."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from framesift.export.bundle.video import decoder_process
from framesift.export.bundle.video.sandbox import Sandbox

from ..waiting import until

# A slow video may take 14 s, of which the kernel ends a process at the next whole second.
MOST_BYTES, MOST_SECONDS = 512 << 20, 16.0
_TICKS = os.sysconf("SC_CLK_TCK")
# However long a film takes to decode, a thread that waits for it may come too late.
_HELD_UP = """
import os, time
from framesift.export.bundle.video import decoder_main as it

reply = it._Worker.reply

def held_up(worker, asked, file):
    if file is not None and os.readlink(f"/proc/self/fd/{file}") == FILM:
        time.sleep(600)
    return reply(worker, asked, file)

it._Worker.reply = held_up
it.main()
"""


class Watched:
    """Looks a hundred times a second at what the process of a sandbox has taken.

    Attributes:
        peak: the most bytes that it held at any time, above what the idle one holds.
    """

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.peak = 0
        self._seconds: dict[int, float] = {}
        sandbox.start()
        self._idle = self._held(sandbox.pid)
        self._stopped = threading.Event()
        self._watch = threading.Thread(target=self._look)
        self._watch.start()

    def stop(self) -> None:
        """Look no more."""
        self._stopped.set()
        self._watch.join()

    @contextmanager
    def bounds(self) -> Iterator[None]:
        """Checks that the block takes no more memory, and no more seconds of a processor, than any video may."""
        first = self.sandbox.pid
        before = self._spent(first)
        try:
            yield
        finally:
            # A process that ended was looked at a hundredth of a second before.
            spent = max(self._seconds.get(first or 0, 0.0), self._spent(first)) - before
            assert spent < MOST_SECONDS
            assert self.peak < MOST_BYTES

    def _look(self) -> None:
        while not self._stopped.wait(0.01):
            pid = self.sandbox.pid
            self.peak = max(self.peak, self._held(pid) - self._idle)
            if pid is not None:
                self._seconds[pid] = max(self._seconds.get(pid, 0.0), self._spent(pid))

    @staticmethod
    def _held(pid: int | None) -> int:
        try:
            lines = Path("/proc", str(pid), "status").read_text(encoding="ascii").splitlines()
        except OSError:
            return 0
        return max((int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM")), default=0)

    @staticmethod
    def _spent(pid: int | None) -> float:
        try:
            fields = Path("/proc", str(pid), "stat").read_text(encoding="ascii").rpartition(")")[2].split()
        except OSError:
            return 0.0
        return (int(fields[11]) + int(fields[12])) / _TICKS


@contextmanager
def held_up(film: Path) -> Iterator[None]:
    """Processes that start meanwhile get no further than to open this film."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoder_process, "_MAIN", _HELD_UP.replace("FILM", repr(str(film))))
        yield


@contextmanager
def signalled(film: Path, number: signal.Signals) -> Iterator[None]:
    """Send a signal to the process that has a film open, as soon as one has; it is held up by the film."""
    sent = threading.Event()

    def send() -> None:
        os.kill(until(lambda: _holder(film), 120, pause_s=0.01), number)
        sent.set()

    thread = threading.Thread(target=send)
    thread.start()
    with held_up(film):
        yield
    thread.join()
    assert sent.is_set()


def _holder(film: Path) -> int:
    """The child of this process that has a film open; 0 where none has."""
    for child in psutil.Process().children():
        files = Path(f"/proc/{child.pid}/fd")
        with suppress(OSError):
            if any(os.readlink(file) == str(film) for file in files.iterdir()):
                return int(child.pid)
    return 0
