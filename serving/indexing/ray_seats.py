"""What is known of the actors of a run on a Ray cluster, and of the videos that they were given."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from ...export.bundle.errors import FramesiftError
from .video import Made, Video


@dataclass(eq=False)
class Task:
    """A video that is to be made.

    Attributes:
        tries: how many actors have ended over it alone.
        losses: how often its node was lost, its rows were with theirs, or its actor was out of reach.
        alone: has a call of its own, since an actor has ended over several videos: which one was it?
    """

    video: Video
    made: Future[Made] = field(default_factory=Future)
    tries: int = 0
    losses: int = 0
    alone: bool = False

    def settle(self, outcome: Made | FramesiftError) -> None:
        """Say what became of it, once."""
        if isinstance(outcome, FramesiftError):
            self.made.set_exception(outcome)
        else:
            self.made.set_result(outcome)


@dataclass(eq=False)
class Call:
    """Videos that an actor was given together.

    Attributes:
        ended: whether the actor ended over one of them.
        node: on which that was.
        told: what Ray said of it.
    """

    tasks: list[Task]
    ended: bool = False
    node: str = ""
    told: str = ""


@dataclass
class Seat:
    """An actor.

    Attributes:
        free: how many more calls it may be given.
        calls: those that it has, in order.
        node: where it was when it answered last.
        away: whether it has ended, and has not answered since.
        suspects: calls over which it ended, until it is known whether its node did.
    """

    actor: Any
    free: int = 0
    calls: list[Call] = field(default_factory=list)
    node: str = ""
    away: bool = False
    suspects: list[Call] = field(default_factory=list)

    def lost(self) -> None:
        """Take note that it has ended. Only the first of its calls was under way."""
        self.calls[0].ended, self.calls[0].node = True, self.node
        self.calls.clear()
        self.free, self.away = 0, True
