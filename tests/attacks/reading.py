"""Wrong files sent to a served model that reads them, and what that costs its processes."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from framesift import Client
from framesift.errors import FramesiftError, ServerUnavailable

from .table import Progress, Row
from .target import Target, resident

MOST_BYTES, MOST_SECONDS = 512 << 20, 15.0
PATIENCE_S = 120.0
_TICKS = os.sysconf("SC_CLK_TCK")


class Watched:
    """The processes of a model: what they hold, looked at fifty times a second, and how long they worked.

    Attributes:
        peak: the most bytes that they held together, above what they held in the beginning, since ``forget``.
    """

    def __init__(self, target: Target, model: str) -> None:
        self._target, self._model = target, model
        self._idle = self._held("VmRSS")
        self.peak = 0
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> Watched:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def forget(self) -> None:
        """Begin anew, with the kernel's own notes of peaks, too."""
        for pid in self._pids():
            with contextlib.suppress(OSError):
                Path(f"/proc/{pid}/clear_refs").write_text("5")
        self.peak = 0

    def spent(self) -> float:
        """Seconds of a processor so far, with those of children that have ended."""
        found = 0.0
        own = self._target.processes().get(self._model, [])
        for pid in self._pids():
            with contextlib.suppress(OSError):
                words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                # Of itself, and of children that it has waited for.
                found += sum(map(int, words[11 : 15 if pid in own else 13])) / _TICKS
        return found

    def look(self) -> None:
        """Once, at the kernel's notes."""
        self.peak = max(self.peak, self._held("VmHWM") - self._idle)

    def _look(self) -> None:
        while not self._stopped.wait(0.02):
            self.look()

    def _held(self, field: str) -> int:
        return sum(resident(pid, field) for pid in self._pids())

    def _pids(self) -> list[int]:
        """The model's, and those that they start."""
        found = list(self._target.processes().get(self._model, []))
        for pid in tuple(found):
            with contextlib.suppress(OSError):
                for path in Path(f"/proc/{pid}/task").glob("*/children"):
                    found += map(int, path.read_text().split())
        return found


@dataclass(frozen=True)
class Sender:
    """Sends files, of which the model that reads them may refuse any by one kind of error."""

    target: Target
    model: str
    one: Callable[[Client, bytes], object]
    refusal: type[FramesiftError]

    def send(self, files: Iterable[tuple[str, bytes]], kind: str, progress: Progress) -> list[Row]:
        """Send files with their names, and look after each at the model's processes."""
        target = self.target
        typed = Row(f"{kind}: read, or refused as {self.refusal.__name__}")
        quick = Row(f"{kind}: at most {MOST_SECONDS:g} s of a processor")
        small = Row(f"{kind}: at most {MOST_BYTES >> 20} MB above what is idle")
        alive = Row(f"{kind}: no process of a model ends")
        longest, largest, read = 0.0, 0, 0
        with target.client(timeout_s=PATIENCE_S) as client:
            before = target.processes()
            with Watched(target, self.model) as watched:
                for name, file in files:
                    watched.forget()
                    spent = watched.spent()
                    try:
                        self.one(client, file)
                        read += typed.see(True, "")
                    except self.refusal:
                        typed.see(True, "")
                    except ServerUnavailable as error:
                        # A busy machine may say so; a process that has ended may not.
                        typed.see("too busy" in str(error), f"{error} to {name}")
                        target.wait()
                    except FramesiftError as error:
                        typed.see(False, f"{type(error).__name__}: {error} to {name}")
                    watched.look()
                    spent = watched.spent() - spent
                    longest, largest = max(longest, spent), max(largest, watched.peak)
                    quick.see(spent < MOST_SECONDS, f"{spent:.1f} s for {name}")
                    small.see(watched.peak < MOST_BYTES, f"{watched.peak >> 20} MB for {name}")
                    found = target.processes()
                    alive.see(found == before, f"{found} and not {before} after {name}")
                    before = found
                    progress(1)
        typed.worst, quick.worst, small.worst = f"{read:,} read", f"{longest:.1f} s", f"{largest >> 20} MB"
        return [typed, quick, small, alive]
