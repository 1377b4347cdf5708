"""Workers on the nodes of a Ray cluster."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from ...export.bundle.errors import FramesiftError, ServerUnavailable
from ...export.bundle.manifest import Manifest
from .files import contents
from .ray_cluster import connect
from .video import Made, Video
from .worker import Setting, Worker

# A video over which an actor ends is given to another once more.
_TRIES = 2
# How many videos an actor has: one under way, and the next.
_EACH = 2
_START_S = 600.0
_PAUSE_S = 0.2


@dataclass
class _Task:
    video: Video
    made: Future[Made] = field(default_factory=Future)
    tries: int = 0


class RayWorkers:
    """Workers that are actors of a Ray cluster, which starts each again that ends, on whichever node has room.

    Videos go to actors that have answered. One that ended, or for which there is no room yet, holds up none.

    Attributes:
        count: how many there are.
        slots: how many videos to have under way, so that no worker waits for its next one.
    """

    def __init__(
        self, address: str, setting: Setting, manifest: Manifest, *, count: int | None, memory: int, gpus: float = 0.0
    ) -> None:
        """Connect to a cluster and start the actors; returns once one of them is ready.

        Args:
            address: of the cluster, as Ray takes it; ``local`` starts one on this machine, which ends with it.
            count: actors, if processors, memory and GPUs of the nodes allow so many; by default all that they do.
            memory: bytes that one takes at most, which its node sets aside.
            gpus: the share of a GPU that each takes.

        Raises:
            ServerUnavailable: no cluster answers, or it has no room for an actor.
        """
        self._ray = ray = connect(address)
        try:
            asked = {"CPU": 1.0, "memory": float(memory)} | ({"GPU": gpus} if gpus else {})
            room = sum(_room(node["Resources"], asked) for node in ray.nodes() if node["Alive"])
            self.count = min(count or room, room)
            if not self.count:
                raise ServerUnavailable(
                    f"no node of the Ray cluster has room for a worker, which takes a processor, {memory >> 20} MiB of "
                    f"memory{f' and {gpus:g} GPUs' if gpus else ''}"
                )
            files = contents(Path(setting.folder), manifest)
            # An actor that is started again needs them again.
            self._shipped = [ray.put(content) for content in files.values()]
            kind: Any = ray.remote(max_restarts=-1, num_cpus=1, num_gpus=gpus, memory=memory)(_Actor)
            self._actors = [_Seat(kind.remote(setting, list(files), *self._shipped)) for _ in range(self.count)]
            self.slots = _EACH * self.count
            self._waiting: deque[_Task] = deque()
            self._events: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
            answers = [self._greet(seat) for seat in self._actors]
            if not ray.wait(answers, timeout=_START_S)[0]:
                raise ServerUnavailable(
                    f"no actor of the Ray cluster is ready after {_START_S:g} s: has it other work?"
                )
        except BaseException:
            ray.shutdown()
            raise
        self._thread = threading.Thread(target=self._dispatch, name="ray-dispatch", daemon=True)
        self._thread.start()

    def submit(self, video: Video) -> Future[Made]:
        """Have a video made by whichever actor is ready."""
        task = _Task(video)
        self._events.put(partial(self._waiting.append, task))
        return task.made

    def close(self) -> None:
        """End the actors, and the cluster where it was started here; what is under way is dropped."""
        self._events.put(None)
        self._thread.join()
        self._ray.shutdown()

    def _dispatch(self) -> None:
        """What happens, one event after another, in a thread of its own: Ray is not called from Ray's own threads."""
        while (event := self._events.get()) is not None:
            event()
            for seat in sorted(self._actors, key=lambda seat: -seat.free) if self._waiting else ():
                while seat.free and self._waiting:
                    self._send(seat, self._waiting.popleft())

    def _greet(self, seat: _Seat) -> Any:
        """Have an actor given videos as soon as it answers."""
        answer = seat.actor.greeted.remote()
        answer.future().add_done_callback(lambda done: self._events.put(partial(self._greeted, seat, done)))
        return answer

    def _greeted(self, seat: _Seat, answer: Future[Any]) -> None:
        if self._lost(answer.exception()):
            threading.Timer(_PAUSE_S, self._events.put, [partial(self._greet, seat)]).start()
        else:
            seat.free = _EACH

    def _send(self, seat: _Seat, task: _Task) -> None:
        seat.free -= 1
        task.tries += 1
        life = seat.life
        answer = seat.actor.make.remote(task.video)
        answer.future().add_done_callback(
            lambda done: self._events.put(partial(self._answered, seat, life, task, done))
        )

    def _answered(self, seat: _Seat, life: int, task: _Task, answer: Future[Any]) -> None:
        error = answer.exception()
        lost = self._lost(error)
        if life == seat.life and not lost:
            seat.free += 1
        elif life == seat.life:
            seat.life, seat.free = life + 1, 0
            self._greet(seat)
        if lost and task.tries < _TRIES:
            self._waiting.appendleft(task)
        elif lost:
            told = " ".join(str(error).split())
            task.made.set_result(Made(task.video, reason=f"its actor ended {_TRIES} times: {told:.300}"))
        elif error is not None:
            task.made.set_exception(error)
        elif isinstance(found := answer.result(), FramesiftError):
            task.made.set_exception(found)
        else:
            task.made.set_result(found)

    def _lost(self, error: BaseException | None) -> bool:
        return isinstance(error, self._ray.exceptions.RayActorError)


@dataclass
class _Seat:
    """An actor: how many videos it may be given, and how often it has been started again."""

    actor: Any
    free: int = 0
    life: int = 0


class _Actor:
    """A worker; in the place of one that can't start the reason why, with which every video is answered."""

    def __init__(self, setting: Setting, names: list[str], *contents: bytes) -> None:
        self._worker: Worker | FramesiftError
        try:
            self._worker = Worker(setting, dict(zip(names, contents, strict=True)))
        except FramesiftError as error:
            self._worker = error

    def greeted(self) -> None:
        """Nothing: it is there."""

    def make(self, video: Video) -> Made | FramesiftError:
        """A row, or what the next video would meet as well."""
        if isinstance(self._worker, FramesiftError):
            return self._worker
        try:
            return self._worker.make(video)
        except FramesiftError as error:
            return error


def _room(has: Mapping[str, float], asked: Mapping[str, float]) -> int:
    """How many workers a node holds."""
    return int(min(has.get(name, 0.0) / amount for name, amount in asked.items()))
