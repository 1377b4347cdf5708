"""Work in processes of its own, each within a time: what hangs, crashes or breaks its device's context ends alone."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import inf
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from typing import Any, Generic, TypeVar

Value = TypeVar("Value")
Job = tuple[Any, ...]

# Loaded once, in a process that never touches a device, of which those that do are forked.
_PRELOADED = ["torch", "triton", f"{__package__}.run"]
_ENDING_S = 10.0
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Outcome(Generic[Value]):
    """What came of a job: its value, or why there is none.

    Attributes:
        late: whether its time was up.
    """

    value: Value | None
    failure: str = ""
    late: bool = False


def apart(
    function: Callable[..., Value], jobs: Sequence[Job], seconds: float, *, together: int = 1, each: float = inf
) -> Iterator[tuple[Job, Outcome[Value]]]:
    """``function(*job)`` for every job in a process of its own; the outcomes as they come.

    Args:
        function: of a module, as its value and the jobs are sent between processes.
        seconds: after which nothing is begun, and what still runs is killed with all that it started.
        together: processes at a time.
        each: seconds of a job, at most.
    """
    context = get_context("forkserver")
    context.set_forkserver_preload(_PRELOADED)
    end = time.monotonic() + seconds
    waiting, running = list(jobs), list[_Running[Value]]()
    try:
        while waiting or running:
            while waiting and len(running) < together and (now := time.monotonic()) < end:
                running.append(_Running(context, function, waiting.pop(0), min(end, now + each)))
            if not running:
                break
            left = min(one.end for one in running) - time.monotonic()
            wait([one.receiver for one in running], max(0.0, left))
            for one in list(running):
                if (outcome := one.outcome()) is not None:
                    running.remove(one)
                    yield one.job, outcome
        for job in waiting:
            yield job, Outcome(None, f"not begun within {seconds:.0f} s", late=True)
    finally:
        for one in running:
            one.kill()


class _Running(Generic[Value]):
    """A job that runs until ``end``, of ``time.monotonic``."""

    def __init__(self, context: Any, function: Callable[..., Value], job: Job, end: float) -> None:
        self.job, self.end, self._begun = job, end, time.monotonic()
        self.receiver, sender = context.Pipe(duplex=False)
        self._process = context.Process(target=_run, args=(sender, function, job))
        self._process.start()
        # Where the process ends without a word, this end sees it only if nobody here could still speak.
        sender.close()

    def outcome(self) -> Outcome[Value] | None:
        """What came of it; None while it runs."""
        found: Outcome[Value] | None = None
        if self.receiver.poll():
            try:
                found = Outcome(*self.receiver.recv())
            except EOFError:
                self._process.join(_ENDING_S)
                found = Outcome(None, f"its process ended with {self._process.exitcode}")
        elif time.monotonic() >= self.end:
            found = Outcome(None, f"killed after {time.monotonic() - self._begun:.0f} s", late=True)
        if found is not None:
            self.kill()
        return found

    def kill(self) -> None:
        """End the process and all that it started."""
        self._process.join(0 if time.monotonic() >= self.end else 1)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()
        self._process.join(_ENDING_S)
        self.receiver.close()


def _run(sender: Connection, function: Callable[..., Any], job: Job) -> None:
    # A group of its own, so that what it starts can be ended with it; and it ends when who asked for it is gone, with
    # whom the process ends that forked it.
    os.setpgid(0, 0)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    try:
        answer = function(*job), ""
    except BaseException as error:
        traceback.print_exc()
        answer = None, f"{type(error).__name__}: {error}"[:400]
    sender.send(answer)
