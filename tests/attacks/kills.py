"""Every process of a run is killed, again and again, while clients search: a pause, and nothing else."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from framesift.errors import FramesiftError

from ..waiting import LIMIT_S
from .table import Progress, Row
from .target import Target, asked

DEADLINE_S = 5.0
_CLIENTS = 4


class Searching:
    """Clients that search until the block ends.

    Attributes:
        errors: what they met besides the right answer, in words.
        longest: the most seconds that a search took.
    """

    def __init__(self, target: Target, deadline_s: float) -> None:
        self._target, self._deadline_s = target, deadline_s
        self._ended = threading.Event()
        self.errors: list[str] = []
        self.longest = 0.0
        self.answers = 0
        self._begun = [threading.Event() for _ in range(_CLIENTS)]
        self._threads = [threading.Thread(target=self._search, args=[begun]) for begun in self._begun]

    def __enter__(self) -> Searching:
        for thread in self._threads:
            thread.start()
        # A client that nobody has answered yet takes a server that is being started again for one that is not there.
        for begun in self._begun:
            begun.wait(LIMIT_S)
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _search(self, begun: threading.Event) -> None:
        with self._target.client(timeout_s=self._deadline_s) as client:
            while not self._ended.is_set():
                started = time.monotonic()
                try:
                    if (answer := asked(client, self._target.clips)) != self._target.answer:
                        self.errors.append(f"another answer: {answer}")
                    self.answers += 1
                except FramesiftError as error:
                    self.errors.append(f"{type(error).__name__}: {error}")
                self.longest = max(self.longest, time.monotonic() - started)
                begun.set()


def attack(target: Target, count: int, progress: Progress, patience: float = 1.0) -> list[Row]:
    """Kill so many processes in all: each as often in a row, or only the first of ``target.names``.

    Args:
        patience: how many times longer than promised a search may take.
    """
    names = target.names()[:count]
    return [_killed(target, name, count // len(names), DEADLINE_S * patience, progress) for name in names]


def _killed(target: Target, name: str, times: int, deadline_s: float, progress: Progress) -> Row:
    row = Row(f"kill -9 of {name}: no search with a deadline of {deadline_s:.3g} s sees an error")
    target.wait()
    longest, back, wanted = 0.0, 0.0, len(target.processes()[name])
    for number in range(times):
        # A model that was loaded again has its old processes for a moment, too.
        _until(lambda: len(target.processes().get(name, [])) == wanted)
        with Searching(target, deadline_s) as searching:
            time.sleep(0.3)
            killed = target.processes()[name]
            started = time.monotonic()
            os.kill(killed[0], signal.SIGKILL)
            with _reported(row, name, number):
                _until(lambda killed=killed: _replaced(killed[0], target.processes().get(name, []), wanted))
                target.wait()
            back = max(back, time.monotonic() - started)
            # Everybody is answered afterwards, too.
            before = searching.answers
            _until(lambda before=before: searching.answers >= before + _CLIENTS)
        longest = max(longest, searching.longest)
        row.see(not searching.errors, f"{searching.errors[:2]} at kill {number + 1}")
        progress(1)
    row.worst = f"slowest search {longest:.2f} s, complete again after {back:.2f} s"
    return row


def _replaced(killed: int, running: list[int], wanted: int) -> bool:
    return killed not in running and len(running) == wanted


@contextmanager
def _reported(row: Row, name: str, number: int) -> Iterator[None]:
    try:
        yield
    except TimeoutError as error:
        row.see(False, f"{name} was not back after kill {number + 1}: {error}")


def _until(condition, limit_s: float = LIMIT_S) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {limit_s:g} s")
        time.sleep(0.02)
