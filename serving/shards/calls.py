"""One message to some shards at once: of each a replica is asked, and another where that does not answer."""

from __future__ import annotations

import math
import select
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ...export.bundle.errors import DeadlineExceeded, FramesiftError, ServerError, ServerUnavailable
from .connection import Connection
from .messages import Message, unpack

GONE = ServerUnavailable("does not answer: it is being started again")
# How soon a replica that has not followed the gallery yet is asked again, and for how long: older files may have been
# put in the gallery's place.
_PAUSE_S, _FOLLOWS_S = 0.05, 1.0


@dataclass
class Call:
    """What one shard is asked.

    Attributes:
        left: replicas that may still be asked, in their order.
        waiting: those that were asked and have not answered, by the handles of their connections.
        behind: those that have answered with less than others have shown.
        next_at: when the next of ``left`` is asked, as of ``time.monotonic``, whoever else may still answer.
        told: what there is, if not an answer: why the last replica gave none, or one that is behind others'.
    """

    shard: int
    left: list[str]
    waiting: dict[int, str] = field(default_factory=dict)
    behind: set[str] = field(default_factory=set)
    next_at: float = 0.0
    told: Message | FramesiftError = GONE


class Calls:
    """Sends and waits, for ``Fleet.ask``.

    Args:
        send: asks a replica of a shard; raises OSError where it can't be asked.
        drop: forgets a replica's connection.
        fresh: whether an answer of a shard's replica will do, or is behind what others have shown.
        share_s: after so long the next replica is asked, too.
        until: by when all have to answer.
    """

    def __init__(
        self,
        send: Callable[[int, str], Connection],
        drop: Callable[[str], None],
        fresh: Callable[[int, str, Message], bool],
        share_s: float,
        until: float,
    ) -> None:
        self._send, self._drop, self._fresh = send, drop, fresh
        self._share_s, self._until = share_s, until
        self._will_do = time.monotonic() + _FOLLOWS_S
        self._poll = select.poll()
        self._asked: dict[int, tuple[Call, Connection]] = {}
        self._answers: dict[int, Message | FramesiftError] = {}

    def run(self, orders: Mapping[int, list[str]], patience_s: float) -> dict[int, Message | FramesiftError]:
        """The answers of the shards, each from the replicas of its order, or why there is none."""
        begun = [Call(shard, list(order)) for shard, order in orders.items()]
        try:
            for call in begun:
                self._next(call)
            while left := [call for call in begun if call.shard not in self._answers]:
                now = time.monotonic()
                if now >= self._until:
                    break
                for call in left:
                    if call.left and call.next_at <= now:
                        self._next(call)
                soon = min([self._until, *(call.next_at for call in left if call.left)])
                for handle, _ in self._poll.poll(max(0, math.ceil(1e3 * (soon - now)))):
                    if handle in self._asked:
                        self._arrived(handle)
            for call in begun:
                if call.shard not in self._answers:
                    late = DeadlineExceeded(f"did not answer within {patience_s:g} s")
                    self._end(call, call.told if isinstance(call.told, Message) else late)
            return self._answers
        finally:
            # Whatever ends this before all have answered: no later message meets an answer to this one.
            for handle, (call, _) in self._asked.items():
                self._drop(call.waiting[handle])

    def _next(self, call: Call) -> None:
        """Ask the next replica that can be asked."""
        while call.left:
            address = call.left.pop(0)
            try:
                connection = self._send(call.shard, address)
            except OSError as error:
                self._drop(address)
                if not isinstance(call.told, Message):
                    late = isinstance(error, TimeoutError)
                    call.told = ServerUnavailable("takes no message in time") if late else GONE
                continue
            handle = connection.fileno()
            call.waiting[handle] = address
            call.next_at = time.monotonic() + self._share_s
            self._asked[handle] = call, connection
            self._poll.register(handle, select.POLLIN)
            return
        if not call.waiting:
            self._end(call, call.told)

    def _arrived(self, handle: int) -> None:
        call, connection = self._asked[handle]
        address = call.waiting[handle]
        try:
            raw = connection.arrived()
        except BlockingIOError:
            return
        except OSError:
            self._forget(call, handle)
            self._drop(address)
            if not isinstance(call.told, Message):
                call.told = GONE
            if not call.waiting:
                self._next(call)
            return
        if raw is None:
            return
        self._forget(call, handle)
        try:
            answer = unpack(raw)
        except ServerError as error:
            self._drop(address)
            self._end(call, error)
            return
        if self._fresh(call.shard, address, answer):
            self._end(call, answer)
            return
        call.behind.add(address)
        if time.monotonic() > self._will_do and call.behind >= {*call.left, *call.waiting.values()}:
            self._end(call, answer)
            return
        # Another may have followed the gallery further; where all are behind one will have in a moment.
        call.told = answer
        call.next_at = time.monotonic() + _PAUSE_S if call.behind.issuperset(call.left) else 0.0
        call.left.append(address)

    def _forget(self, call: Call, handle: int) -> None:
        self._poll.unregister(handle)
        del call.waiting[handle], self._asked[handle]

    def _end(self, call: Call, answer: Message | FramesiftError) -> None:
        """Take an answer; whoever was asked, too, is hung up on, so that no later message meets its answer."""
        self._answers[call.shard] = answer
        for handle, address in [*call.waiting.items()]:
            self._forget(call, handle)
            self._drop(address)
