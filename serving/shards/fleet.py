"""All shards, as the models ask them: at once, each with a deadline."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from ...export.bundle.errors import FramesiftError, ServerError, ServerUnavailable
from .calls import Calls
from .connection import Connection
from .directory import DEADLINE_S, DEADLINE_VARIABLE, SHARDS_VARIABLE, Directory
from .messages import CHOOSE, LOOKUP, NOTHING, SEARCH, Message, pack
from .shard import HEARD, LATEST, SEEN, VIEW, WRITES

# A write may wait for another writer's lease, and a look-up takes seconds.
_PATIENCE_S = 75.0
# So long a replica that was behind others comes after them: it polls the gallery.
_BEHIND_S = 0.3
# So long who writes next is waited for, where a writer does not answer: Ray mostly tells sooner that it has ended.
_SUCCEEDS_S, _PAUSE_S = 2.0, 0.02
_log = logging.getLogger(__name__)

Answers = Mapping[int, Message | FramesiftError]


class _Promise(NamedTuple):
    """Who writes a shard has promised that whoever has seen its version ``view`` has everything up to ``seen``."""

    view: int
    seen: int


class Fleet:
    """Sends messages; not to be shared between threads.

    A shard's replicas take turns at searches. Everything else goes to the one that is there longest, and so do further
    pages: it can tell how the gallery was longest. A search never shows less than one
    before it, be that another process's.

    Args:
        directory: the file of addresses, which may change at any time.
        deadline_s: for a shard's answer to a search.

    Attributes:
        heard: the newest version that any shard told.
    """

    def __init__(self, directory: Path, deadline_s: float) -> None:
        self._path, self._deadline_s = directory, deadline_s
        self._read: tuple[int, ...] = ()
        self._directory = Directory("", ())
        self._connections: dict[str, Connection] = {}
        self._turn = 0
        self._promises: dict[int, _Promise] = {}
        # The version of each shard that the latest answer has shown, and when a replica was found to lack it.
        self._shown: dict[int, int] = {}
        self._behind: dict[str, float] = {}
        self.heard = 0
        self._look()

    @staticmethod
    def of_environment() -> Fleet:
        """The fleet that the environment names.

        Raises:
            ServerError: it names none.
        """
        if not (path := os.environ.get(SHARDS_VARIABLE)):
            raise ServerError(f"{SHARDS_VARIABLE} is not set: it names the file with the shards' addresses")
        return Fleet(Path(path), float(os.environ.get(DEADLINE_VARIABLE, DEADLINE_S)))

    @property
    def count(self) -> int:
        """How many shards there are."""
        return len(self._directory.addresses)

    @property
    def away(self) -> int:
        """How many replicas there should be that were not there when something was asked last."""
        return sum(self._directory.replicas - len(each) for each in self._directory.addresses)

    def turn(self) -> None:
        """Have other replicas answer what is asked next."""
        self._turn += 1

    def ask(self, kind: str, messages: Mapping[int, Message], *, oldest: bool = False) -> Answers:
        """The answers of the shards that are asked, or why there is none.

        A message that several shards get alike is packed once.

        Args:
            oldest: searches go to the replicas that are there longest, too.
        """
        self._look()
        searches = kind in (SEARCH, CHOOSE)
        if searches:
            self._learn(messages)
        orders = {shard: self._order(shard, oldest=oldest, searches=searches) for shard in messages}
        patience = self._deadline_s if searches else _PATIENCE_S
        answers = self._answers(kind, messages, orders, patience)
        return {shard: self._taken(shard, answer, searches=searches) for shard, answer in answers.items()}

    def succeeded(self, shards: Iterable[int]) -> bool:
        """Whether other replicas write these shards, whose writers did not answer; those that may are waited for."""
        there = self._directory.addresses
        gone = {shard: there[shard][0] for shard in shards if len(there[shard]) > 1}
        until = time.monotonic() + _SUCCEEDS_S
        while gone and time.monotonic() < until:
            self._look()
            gone = {shard: address for shard, address in gone.items() if self._writes(shard, address)}
            if not gone:
                return True
            time.sleep(_PAUSE_S)
        return False

    def close(self) -> None:
        """Close all connections."""
        for address in [*self._connections]:
            self._drop(address)

    def _answers(
        self, kind: str, messages: Mapping[int, Message], orders: Mapping[int, list[str]], patience: float
    ) -> Answers:
        """What the replicas of these orders answer; of a shard without any why there is none."""
        until = time.monotonic() + patience
        share = patience / max([1, *map(len, orders.values())])
        packed: dict[tuple[int, bool], bytes] = {}

        def send(shard: int, address: str) -> Connection:
            message, writes = messages[shard], self._writes(shard, address)
            key = id(message), writes
            if key not in packed:
                packed[key] = pack(Message(message.parts, {**message.head, HEARD: self.heard, WRITES: writes}))
            if address not in self._connections:
                soon = min(until, time.monotonic() + share)
                self._connections[address] = Connection(address, self._directory.secret, soon)
            self._connections[address].send(kind, packed[key], until)
            return self._connections[address]

        def fresh(shard: int, address: str, answer: Message) -> bool:
            return kind not in (SEARCH, CHOOSE) or self._fresh(shard, address, answer)

        asked = {shard: order for shard, order in orders.items() if order}
        answers = Calls(send, self._drop, fresh, share, until).run(asked, patience)
        absent = {shard: self._absent(shard) for shard in orders.keys() - asked.keys()}
        return {shard: absent.get(shard) or answers[shard] for shard in orders}

    def _absent(self, shard: int) -> FramesiftError:
        """Why none of a shard's replicas is there."""
        fault = self._directory.faults.get(shard)
        return ServerUnavailable("is being started" if fault is None else f"can't be searched: {fault}")

    def _learn(self, shards: Iterable[int]) -> None:
        """Learn what there is of shards of which this process has shown nothing.

        One before it may have shown all of it, by a replica that was ahead of the one that is asked next.
        """
        unknown = [shard for shard in shards if shard not in self._shown] if self._directory.replicas > 1 else []
        if not unknown:
            return
        orders = {shard: [*self._directory.addresses[shard]] for shard in unknown}
        answers = self._answers(LOOKUP, dict.fromkeys(unknown, NOTHING), orders, self._deadline_s / 2)
        for shard, answer in answers.items():
            if isinstance(answer, Message):
                self._shown[shard] = int(answer.head.get(LATEST, 0))

    def _order(self, shard: int, *, oldest: bool, searches: bool) -> list[str]:
        """The replicas to ask one after another; those that were behind lately come last."""
        there = [*self._directory.addresses[shard]]
        if not searches:
            return there[:1]
        first = 0 if oldest or not there else self._turn % len(there)
        order, lately = [*there[first:], *there[:first]], time.monotonic() - _BEHIND_S
        return sorted(order, key=lambda address: self._behind.get(address, 0.0) > lately) if self._behind else order

    def _writes(self, shard: int, address: str) -> bool:
        return address in self._directory.addresses[shard][:1]

    def _fresh(self, shard: int, address: str, answer: Message) -> bool:
        """Take note of an answer; whether it shows all that answers before it have shown."""
        view = int(answer.head.get(VIEW, 0))
        if view and self._writes(shard, address):
            self._promises[shard] = _Promise(view, int(answer.head.get(SEEN, 0)))
        if view >= self._shown.get(shard, 0) or self._directory.replicas == 1:
            self._behind.pop(address, None)
            return True
        self._behind[address] = time.monotonic()
        return False

    def _taken(self, shard: int, answer: Message | FramesiftError, *, searches: bool) -> Message | FramesiftError:
        if isinstance(answer, FramesiftError):
            return type(answer)(f"shard {shard}/{self.count} of the gallery {answer}")
        self.heard = max(self.heard, int(answer.head.get(LATEST, 0)))
        if not searches:
            return answer
        # Of a shard that could not search there is none.
        view, promise = int(answer.head.get(VIEW, 0)), self._promises.get(shard, _Promise(0, 0))
        if view:
            self._shown[shard] = view
        seen = max(view, promise.seen) if view >= promise.view else view
        return Message(answer.parts, {**answer.head, SEEN: seen})

    def _drop(self, address: str) -> None:
        if (connection := self._connections.pop(address, None)) is not None:
            connection.close()

    def _look(self) -> None:
        """Read the addresses if they have changed, and forget connections that lead nowhere.

        Without the file searches go on with what was read last: the command writes it again.

        Raises:
            ServerError: it was never read.
        """
        try:
            now = self._path.stat()
            # Two changes may come within one tick of the file system's clock.
            known = now.st_mtime_ns, now.st_ino, now.st_size
            if known == self._read:
                return
            found = Directory.read(self._path)
        except (OSError, ServerError) as error:
            if not self._directory.addresses:
                raise ServerError(f"where the shards answer is not known, start the server again: {error}") from error
            if self._read:
                _log.warning("shards are asked where they were last: %s", error)
            self._read = ()
            return
        before, self._directory = self._directory, found
        self._read = known
        there = {address for each in self._directory.addresses for address in each}
        for address in [*self._connections]:
            if address not in there or before.secret != self._directory.secret:
                self._drop(address)
        self._behind = {address: at for address, at in self._behind.items() if address in there}
