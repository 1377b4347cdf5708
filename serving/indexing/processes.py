"""Workers in processes of this machine."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import Any

from ...export.bundle.errors import FramesiftError, ServerStartError
from .video import Made, Reached, Video
from .worker import Setting

ToldReached = Callable[[Video, Reached], object]

# A process that ends over a video is started again, and given it once more.
_TRIES = 2
_MAIN = "from framesift.serving.indexing.process_main import main; main()"
# With glibc's many heaps, each thread that a large file passes through keeps some of its memory.
_ENVIRONMENT = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}


class Processes:
    """Workers in ``count`` processes, the ``first`` of them started already. They end with this one.

    Attributes:
        slots: how many videos to have under way, so that no worker waits for its next one.

    Args:
        told: called by threads with how far a film is that is cut.
    """

    def __init__(self, first: Process, count: int, told: ToldReached = lambda video, reached: None) -> None:
        self.slots, self._told = 2 * count, told
        self._all = [first, *(Process(first.setting) for _ in range(count - 1))]
        self._idle: SimpleQueue[Process] = SimpleQueue()
        for process in self._all:
            self._idle.put(process)
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="index")

    def submit(self, video: Video) -> Future[Made]:
        """Have a video made by whichever process is idle first."""
        return self._threads.submit(self._make, video)

    def pids(self) -> list[int]:
        """The processes' numbers."""
        return [process.pid for process in self._all]

    def close(self) -> None:
        """End the processes; what is under way is dropped."""
        for process in self._all:
            process.end()
        self._threads.shutdown(cancel_futures=True)

    def _make(self, video: Video) -> Made:
        process = self._idle.get()
        try:
            return process.make(video, partial(self._told, video))
        finally:
            self._idle.put(process)


class Process:
    """One process, which is started again when it ends over a video; for one thread at a time."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self._ended = False
        self._peak: int | None = None
        self._start()

    @property
    def pid(self) -> int:
        """Its number."""
        return self._process.pid

    def peak(self) -> int:
        """The most bytes of memory that it has held once it has started and has run the graph.

        Raises:
            BundleError: the bundle can't be used.
            ServerStartError: it ended instead.
        """
        if self._peak is None:
            try:
                self._peak = int(self._received())
            except EOFError as error:
                if self._ended:
                    raise
                raise ServerStartError("the process that encodes videos ended at its start: see above") from error
        return self._peak

    def make(self, video: Video, told: Callable[[Reached], object] = lambda _: None) -> Made:
        """Have it make a row of a video, or of each segment; one over which it ends twice has failed.

        Args:
            told: called with how far a film is that is cut.

        Raises:
            FramesiftError: what the next video would meet as well.
        """
        status = 0
        for _ in range(_TRIES):
            with suppress(OSError, EOFError):
                self.peak()
                self._channel.send(video)
                while isinstance(found := self._received(), Reached):
                    told(found)
                made: Made = found
                return made
            status = self._process.wait()
            if self._ended:
                break
            self._channel.close()
            self._start()
        ended = signal.Signals(-status).name if status < 0 else f"exit status {status}"
        return Made(video, reason=f"its process ended {_TRIES} times ({ended}): is there memory enough?")

    def end(self) -> None:
        """End it."""
        self._ended = True
        self._process.kill()
        self._process.wait()

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        self._process = subprocess.Popen(
            [sys.executable, "-c", _MAIN, str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path), **_ENVIRONMENT},
        )
        theirs.close()
        self._channel = Connection(ours.detach())
        self._channel.send(self.setting)
        self._peak = None

    def _received(self) -> Any:
        answer = self._channel.recv()
        if isinstance(answer, FramesiftError):
            raise answer
        return answer
