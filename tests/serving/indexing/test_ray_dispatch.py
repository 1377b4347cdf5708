"""What becomes of videos where Ray's calls fail: a test says what Ray answers, and the dispatch is the real one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from queue import SimpleQueue
from types import SimpleNamespace
from typing import Any

import pytest

from framesift.export.bundle.errors import ServerUnavailable
from framesift.serving.indexing.ray_dispatch import EACH, MOST, Dispatch
from framesift.serving.indexing.video import Made, Video

from ...waiting import until

exceptions = pytest.importorskip("ray.exceptions")
# For what would never come.
_PATIENCE_S = 60
_NODE = "node"


def _say(answer: Future[Any], said: object) -> None:
    if isinstance(said, Exception):
        answer.set_exception(said)
    else:
        answer.set_result(said)


class Method:
    """A method of an actor: a call is answered by ``answer``, or kept for the test, or raises ``fault``."""

    def __init__(self) -> None:
        self.calls = SimpleQueue[tuple[tuple[Any, ...], Future[Any]]]()
        self.answer: Callable[..., object] | None = None
        self.fault: Exception | None = None

    def remote(self, *arguments: Any) -> Any:
        if self.fault is not None:
            raise self.fault
        answer = Future[Any]()
        if self.answer is None:
            self.calls.put((arguments, answer))
        else:
            _say(answer, self.answer(*arguments))
        return SimpleNamespace(future=lambda: answer)


class Cluster:
    """Stands for Ray's module: a node, and an actor on it that answers the dispatch once ``greet`` was called."""

    exceptions = exceptions

    def __init__(self) -> None:
        self.actor = SimpleNamespace(greeted=Method(), make=Method())
        self.fault: Exception | None = None
        self.dispatch = Dispatch(self, [self.actor])
        assert self.dispatch.start(_PATIENCE_S)

    def nodes(self) -> list[dict[str, object]]:
        if self.fault is not None:
            raise self.fault
        return [{"NodeID": _NODE, "Alive": True}]

    def wait(self, answers: list[Any], timeout: float) -> tuple[list[Any], list[Any]]:
        return answers, []

    def get_runtime_context(self) -> Any:
        return SimpleNamespace(gcs_address="127.0.0.1:1")

    def submit(self, count: int) -> list[Future[Made]]:
        return [self.dispatch.submit(Video(str(number), "place", "source")) for number in range(count)]

    def greet(self) -> None:
        """The actor is there, now and whenever it is asked."""
        self.actor.greeted.answer = lambda: _NODE
        _, answer = self.actor.greeted.calls.get(timeout=_PATIENCE_S)
        answer.set_result(_NODE)


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    made = Cluster()
    yield made
    made.dispatch.close()


@pytest.mark.parametrize("failing", ["nodes", "greeted"])
def test_no_video_is_forgotten_where_a_call_of_ray_s_fails(cluster: Cluster, failing: str) -> None:
    """None of the call over which an actor ended, of the one behind it, or of those that wait."""
    futures, told = cluster.submit(EACH * MOST + 3), list[Future[Made]]()
    for future in futures:
        future.add_done_callback(told.append)
    cluster.greet()
    calls = [cluster.actor.make.calls.get(timeout=_PATIENCE_S) for _ in range(EACH)]
    assert [len(videos) for (videos,), _ in calls] == [MOST] * EACH
    # These are called once the actor has ended.
    fails: Any = cluster if failing == "nodes" else cluster.actor.greeted
    fails.fault = RuntimeError("no head")
    calls[0][1].set_exception(exceptions.ActorDiedError())
    for future in futures:
        fault = future.exception(_PATIENCE_S)
        assert isinstance(fault, ServerUnavailable)
        assert "no head" in str(fault)
    # What is made nevertheless changes nothing, and nobody who comes later waits.
    (videos,), answer = calls[1]
    answer.set_result([Made(video) for video in videos])
    (late,) = cluster.submit(1)
    assert isinstance(late.exception(_PATIENCE_S), ServerUnavailable)
    # Whoever waits for a future may go on before its callbacks are called.
    until(lambda: len(told) >= len(futures))
    assert sorted(map(id, told)) == sorted(map(id, futures))
    assert cluster.actor.make.calls.empty()


@pytest.mark.parametrize(
    ("error", "times", "reason"),
    [
        (exceptions.ActorDiedError(), 1, ""),
        (exceptions.ActorDiedError(), 2, "ended 2 times"),
        # Which end no actor.
        (exceptions.ObjectLostError("ab" * 28, None, ""), 4, ""),
        (exceptions.ObjectLostError("ab" * 28, None, ""), 5, "lost 5 times"),
        (exceptions.ActorUnavailableError("no route", None), 4, ""),
        (exceptions.ActorUnavailableError("no route", None), 5, "lost 5 times"),
    ],
)
def test_a_video_is_tried_again(cluster: Cluster, error: Exception, times: int, reason: str) -> None:
    """More often where its actor was out of reach than where that ended."""
    (future,) = cluster.submit(1)
    cluster.greet()
    make = cluster.actor.make
    for _ in range(times):
        _, answer = make.calls.get(timeout=_PATIENCE_S)
        answer.set_exception(error)
    if not reason:
        (videos,), answer = make.calls.get(timeout=_PATIENCE_S)
        answer.set_result([Made(video) for video in videos])
    made = future.result(_PATIENCE_S)
    assert reason in made.reason
    assert bool(made.reason) == bool(reason)
    assert make.calls.empty()
