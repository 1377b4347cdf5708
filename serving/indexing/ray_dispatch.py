"""Which actor of a Ray cluster is given which videos, and what becomes of those of one that is lost."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from queue import SimpleQueue
from typing import Any

from ...export.bundle.errors import FramesiftError, ServerError, ServerStartError, ServerUnavailable
from .ray_head import HeadWatch
from .ray_seats import Call, Seat, Task
from .video import Made, Video

# A video over which an actor ends is given to another once more. Of nodes that are lost it may meet more.
_TRIES, _LOSSES = 2, 5
# How many calls an actor has: one under way, and the next.
EACH = 2
# Videos of a call.
MOST = 8
_PAUSE_S = 0.2
# So long an actor that has ended is waited for, before its node is looked for without it.
_BACK_S = 30.0
# Ray ends this process after a minute.
_HEAD_S = 40.0
_log = logging.getLogger(__name__)


class Dispatch:
    """Gives videos to actors that have answered, in a thread of its own: one that is not there holds up none.

    An actor that ends over a video has it made once more, by another. A node that is lost costs no video: those of its
    actors, and those whose rows were there, are made again, as are those of an actor that is out of reach for a moment.

    Args:
        ray: Ray's module.
        actors: of ``VideoActor``, which Ray starts again.
    """

    def __init__(self, ray: Any, actors: Sequence[Any]) -> None:
        self._ray = ray
        self._seats = [Seat(actor) for actor in actors]
        self._waiting: deque[Task] = deque()
        # Those that are not settled, wherever they are; only the thread looks.
        self._open: set[Task] = set()
        # Why no video will be made any more.
        self._fault: FramesiftError | None = None
        self._events: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="ray-dispatch", daemon=True)

    def start(self, patience_s: float) -> bool:
        """Whether one of the actors answers in time; from then on they are given videos."""
        if not self._ray.wait([self._greet(seat) for seat in self._seats], timeout=patience_s)[0]:
            return False
        self._thread.start()
        self._head = HeadWatch(self._ray, _HEAD_S, self._headless)
        return True

    def submit(self, video: Video) -> Future[Made]:
        """Have a video made by whichever actor is ready."""
        task = Task(video)
        self._events.put(partial(self._take, task))
        return task.made

    def close(self) -> None:
        """Give no more; what is under way is dropped."""
        self._head.close()
        self._events.put(None)
        self._thread.join()

    def _run(self) -> None:
        """What happens, one event after another: Ray is not called from Ray's own threads."""
        while (event := self._events.get()) is not None:
            try:
                event()
                if self._fault is None:
                    self._give()
            # Ray's calls fail in many ways once its head is gone.
            except Exception as error:
                self._fail(ServerUnavailable(f"the Ray cluster fails: {_last_line(error)}"))

    def _take(self, task: Task) -> None:
        self._open.add(task)
        self._waiting.append(task)
        if self._fault is not None:
            self._settle(task, self._fault)

    def _give(self) -> None:
        """Give what waits to whoever has room, those with most of it first."""
        for seat in sorted(self._seats, key=lambda seat: -seat.free) if self._waiting else ():
            while seat.free and self._waiting:
                self._send(seat)

    def _headless(self, told: str) -> None:
        """What is made by now is kept; the rest has to be indexed again."""
        self._events.put(partial(self._fail, ServerUnavailable(told)))

    def _fail(self, fault: FramesiftError) -> None:
        """Settle all with a fault: a call of Ray's may have failed while its videos were on no list of a seat's."""
        self._fault = fault
        for task in [*self._open]:
            self._settle(task, fault)

    def _settle(self, task: Task, outcome: Made | FramesiftError) -> None:
        """Say what became of a video, unless that was said already, when the cluster failed."""
        if task in self._open:
            self._open.remove(task)
            task.settle(outcome)

    def _later(self, seconds: float, event: Callable[[], object]) -> None:
        timer = threading.Timer(seconds, self._events.put, [event])
        # A run that is over does not wait for it.
        timer.daemon = True
        timer.start()

    def _greet(self, seat: Seat) -> Any:
        """Have an actor given videos as soon as it answers."""
        answer = seat.actor.greeted.remote()
        answer.future().add_done_callback(lambda done: self._events.put(partial(self._greeted, seat, done)))
        return answer

    def _greeted(self, seat: Seat, answer: Future[Any]) -> None:
        error = answer.exception()
        if error is None:
            seat.node, seat.free, seat.away = answer.result(), EACH, False
            for call in [*seat.suspects]:
                self._judge(seat, call)
        elif getattr(error, "actor_init_failed", False):
            # It is not started again.
            self._fail(ServerStartError(f"an actor of the Ray cluster can't start: {_last_line(error)}"))
        else:
            self._later(_PAUSE_S, partial(self._greet, seat))

    def _send(self, seat: Seat) -> None:
        # The last videos are for all actors.
        most = min(MOST, -(-len(self._waiting) // len(self._seats)))
        call = Call([self._waiting.popleft()])
        while len(call.tasks) < most and not (call.tasks[0].alone or self._waiting[0].alone):
            call.tasks.append(self._waiting.popleft())
        seat.free -= 1
        seat.calls.append(call)
        answer = seat.actor.make.remote([task.video for task in call.tasks])
        answer.future().add_done_callback(lambda done: self._events.put(partial(self._answered, seat, call, done)))

    def _answered(self, seat: Seat, call: Call, answer: Future[Any]) -> None:
        error = answer.exception()
        errors = self._ray.exceptions
        if isinstance(error, errors.RayActorError):
            call.told = " ".join(str(error).split())
            if call in seat.calls:
                seat.lost()
                self._greet(seat)
            if isinstance(error, errors.ActorUnavailableError):
                # It is out of reach for a moment, and may not have ended at all.
                for task in call.tasks:
                    task.losses += call.ended
                call.ended = False
            if not call.ended:
                self._again(call)
                return
            seat.suspects.append(call)
            if seat.away:
                self._later(_BACK_S, partial(self._judge, seat, call))
            else:
                self._judge(seat, call)
            return
        if call in seat.calls:
            seat.free += 1
            seat.calls.remove(call)
        if isinstance(error, errors.ObjectLostError):
            # They were made, and the node is gone that had their rows.
            call.told = _last_line(error)
            _log.info("%d videos are made again, whose rows are gone: %s", len(call.tasks), call.told)
            for task in call.tasks:
                task.losses += 1
            self._again(call)
            return
        found = answer.result() if error is None else ServerError(f"an actor failed: {_last_line(error)}")
        if isinstance(found, FramesiftError):
            for task in call.tasks:
                self._settle(task, found)
            return
        for task, made in zip(call.tasks, found, strict=False):
            self._settle(task, made)
        self._waiting.extendleft(reversed(call.tasks[len(found) :]))

    def _judge(self, seat: Seat, call: Call) -> None:
        """Was it a video that ended an actor, or did its node end? That is known once the actor is back elsewhere."""
        if call not in seat.suspects:
            return
        seat.suspects.remove(call)
        call.ended = any(node["NodeID"] == call.node and node["Alive"] for node in self._ray.nodes())
        if not call.ended:
            _log.info("an actor has ended because its node is gone: %s", call.told)
        for task in call.tasks:
            task.losses += not call.ended
        self._again(call)

    def _again(self, call: Call) -> None:
        """Have the videos of a call made by whichever actor is ready, but for those that have been tried enough."""
        alone = len(call.tasks) == 1
        for task in reversed(call.tasks):
            task.alone |= call.ended
            task.tries += call.ended and alone
            if task.tries < _TRIES and task.losses < _LOSSES:
                self._waiting.appendleft(task)
                continue
            times = f"ended {_TRIES} times" if task.tries == _TRIES else f"or its node was lost {_LOSSES} times"
            self._settle(task, Made(task.video, reason=f"its actor {times}: {call.told:.300}"))


def _last_line(error: BaseException) -> str:
    """Of an error from elsewhere, whose first lines are where that was."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines or [type(error).__name__])[-1][:300]
