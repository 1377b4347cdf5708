"""Wrong videos through the served decoder: each is decoded or refused as InvalidVideo, in bounded time and memory."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterable
from pathlib import Path

from framesift.errors import FramesiftError, InvalidVideo, ServerUnavailable
from framesift.export.bundle.models import VIDEO_DECODER

from ..bundle.video_mutator import mutants
from .bombs import bombs, right_videos
from .table import Progress, Row
from .target import Target, resident

MOST_BYTES, MOST_SECONDS = 512 << 20, 15.0
_PATIENCE_S = 120.0
_ALL_BOMBS = 100
_TICKS = os.sysconf("SC_CLK_TCK")


class Watched:
    """The processes that decode: what they hold, looked at fifty times a second, and how long they worked.

    Attributes:
        peak: the most bytes that they held together, above what they held in the beginning, since ``forget``.
    """

    def __init__(self, target: Target) -> None:
        self._target = target
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
        decoders = self._target.processes().get(VIDEO_DECODER, [])
        for pid in self._pids():
            with contextlib.suppress(OSError):
                words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                # Of itself, and of children that it has waited for.
                found += sum(map(int, words[11 : 15 if pid in decoders else 13])) / _TICKS
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
        """Decoders, and the processes that they start."""
        found = list(self._target.processes().get(VIDEO_DECODER, []))
        for pid in tuple(found):
            with contextlib.suppress(OSError):
                for path in Path(f"/proc/{pid}/task").glob("*/children"):
                    found += map(int, path.read_text().split())
        return found


def attack(target: Target, count: int, seed: int, progress: Progress) -> list[Row]:
    """So many mutants, and every bomb; of fewer than a hundred, a ninth of the bombs."""
    folder = target.folder / "wrong videos"
    folder.mkdir(exist_ok=True)
    made = list(bombs(folder).items())[:: 1 if count >= _ALL_BOMBS else 9]
    return [
        *_sent(target, mutants(right_videos(folder), count, seed), "mutated videos", progress),
        *_sent(target, ((name, make()) for name, make in made), "bombs", lambda _: None),
    ]


def _sent(target: Target, videos: Iterable[tuple[str, bytes]], kind: str, progress: Progress) -> list[Row]:
    typed = Row(f"{kind}: decoded, or refused as InvalidVideo")
    quick = Row(f"{kind}: at most {MOST_SECONDS:g} s of a processor")
    small = Row(f"{kind}: at most {MOST_BYTES >> 20} MB above the idle decoders")
    alive = Row(f"{kind}: no process of a model ends")
    longest, largest, decoded = 0.0, 0, 0
    with target.client(timeout_s=_PATIENCE_S) as client:
        for clip in target.clips[:4]:
            client.encode_video(clip.video)
        before = target.processes()
        with Watched(target) as watched:
            for name, video in videos:
                watched.forget()
                spent = watched.spent()
                try:
                    client.encode_video(video, id="wrong")
                    decoded += typed.see(True, "")
                except InvalidVideo:
                    typed.see(True, "")
                except FramesiftError as error:
                    typed.see(False, f"{type(error).__name__}: {error} to {name}")
                    if isinstance(error, ServerUnavailable):
                        target.wait()
                watched.look()
                spent = watched.spent() - spent
                longest, largest = max(longest, spent), max(largest, watched.peak)
                quick.see(spent < MOST_SECONDS, f"{spent:.1f} s for {name}")
                small.see(watched.peak < MOST_BYTES, f"{watched.peak >> 20} MB for {name}")
                found = target.processes()
                alive.see(found == before, f"{found} and not {before} after {name}")
                before = found
                progress(1)
    typed.worst, quick.worst, small.worst = f"{decoded:,} decoded", f"{longest:.1f} s", f"{largest >> 20} MB"
    return [typed, quick, small, alive]
