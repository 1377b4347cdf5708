"""A build's progress, and stopping it on Ctrl-C."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

# Called with the share that is done, from 0 to 1, never falling.
Progress = Callable[[float], None]


@dataclass
class _Phase:
    steps: int
    done: int = 0
    parts: dict[str, _Phase] = field(default_factory=dict)

    def share(self) -> float:
        if self.done >= self.steps:
            return 1.0
        # Parts run within the current step.
        inner = max((part.share() for part in self.parts.values()), default=0.0)
        return (self.done + inner) / self.steps


class Meter:
    """The phases of one build, as TensorRT opens and closes them; each may have parts."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._phases: dict[str, _Phase] = {}
        self._root: _Phase | None = None
        self._told = 0.0

    def open(self, name: str, parent: str | None, steps: int) -> None:
        """A phase begins, within ``parent`` where that is given."""
        phase = _Phase(max(1, steps))
        self._phases[name] = phase
        if parent in self._phases:
            self._phases[parent].parts[name] = phase
        elif self._root is None:
            self._root = phase

    def step(self, name: str, step: int) -> None:
        """Step ``step`` of a phase, counted from 0, is done."""
        if name in self._phases:
            phase = self._phases[name]
            phase.done = max(phase.done, step + 1)
            phase.parts.clear()
            self._tell()

    def close(self, name: str) -> None:
        """A phase ends, all of its steps done or not."""
        if name in self._phases:
            phase = self._phases.pop(name)
            phase.done = phase.steps
            self._tell()

    def _tell(self) -> None:
        share = self._root.share() if self._root else 0.0
        if share > self._told:
            self._told = share
            self._progress(share)


@contextmanager
def monitored(trt: Any, config: Any, progress: Progress) -> Iterator[None]:
    """Report the progress of a build with ``config``; Ctrl-C stops the build at its next step.

    Raises:
        KeyboardInterrupt: after the builder has come back. Raised inside a callback it would tear down the process.
    """
    meter = Meter(progress)
    stopped = threading.Event()

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            meter.open(phase_name, parent_phase, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            meter.step(phase_name, step)
            return not stopped.is_set()

        def phase_finish(self, phase_name: str) -> None:
            meter.close(phase_name)

    def stop(_: int, __: FrameType | None) -> None:
        stopped.set()

    config.progress_monitor = Monitor()
    main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGINT, stop) if main else None
    try:
        yield
    finally:
        config.progress_monitor = None
        if main:
            signal.signal(signal.SIGINT, before)
    if stopped.is_set():
        raise KeyboardInterrupt
