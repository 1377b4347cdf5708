"""All shards, as the models ask them: at once, each with a deadline."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from selectors import EVENT_READ, DefaultSelector
from typing import Any

from ...export.bundle.errors import DeadlineExceeded, FramesiftError, ServerError, ServerUnavailable
from .connection import Connection
from .directory import DEADLINE_S, DEADLINE_VARIABLE, SHARDS_VARIABLE, Directory
from .messages import CHOOSE, SEARCH, Message, pack, unpack
from .shard import HEARD, LATEST

# A write may wait for another writer's lease, and a look-up takes seconds.
_PATIENCE_S = 75.0
_GONE = ServerUnavailable("does not answer: it is being started again")

Answers = Mapping[int, Message | FramesiftError]


class Fleet:
    """Sends messages; not to be shared between threads.

    Args:
        directory: the file of addresses, which may change at any time.
        deadline_s: for a shard's answer to a search.

    Attributes:
        heard: the newest version that any shard told.
    """

    def __init__(self, directory: Path, deadline_s: float) -> None:
        self._path, self._deadline_s = directory, deadline_s
        self._read_at = -1
        self._directory = Directory("", ())
        self._connections: dict[str, Connection] = {}
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

    def ask(self, kind: str, messages: Mapping[int, Message]) -> Answers:
        """The answers of the shards that are asked, or why there is none.

        A message that several shards get alike is packed once.
        """
        self._look()
        patience = self._deadline_s if kind in (SEARCH, CHOOSE) else _PATIENCE_S
        until = time.monotonic() + patience
        packed: dict[int, bytes] = {}
        sent: dict[int, Connection | FramesiftError] = {}
        for shard, message in messages.items():
            if id(message) not in packed:
                packed[id(message)] = pack(Message(message.parts, {**message.head, HEARD: self.heard}))
            sent[shard] = self._send(kind, shard, packed[id(message)], until)
        answers: dict[int, Message | FramesiftError] = {}
        with DefaultSelector() as selector:
            for shard, found in sent.items():
                if isinstance(found, FramesiftError):
                    answers[shard] = found
                else:
                    selector.register(found, EVENT_READ, shard)
            while selector.get_map() and (events := selector.select(max(0.0, until - time.monotonic()))):
                for key, _ in events:
                    if (answer := self._arrived(key.data, sent[key.data])) is not None:
                        answers[key.data] = answer
                        selector.unregister(key.fileobj)
        for shard in messages.keys() - answers.keys():
            answers[shard] = self._lost(shard, DeadlineExceeded(f"did not answer within {patience:g} s"))
        return answers

    def close(self) -> None:
        """Close all connections."""
        for connection in self._connections.values():
            connection.close()
        self._connections.clear()

    def _send(self, kind: str, shard: int, raw: bytes, until: float) -> Connection | FramesiftError:
        if not (address := self._directory.addresses[shard]):
            return self._named(shard, ServerUnavailable("is being started"))
        try:
            if address not in self._connections:
                self._connections[address] = Connection(address, self._directory.secret, until)
            self._connections[address].send(kind, raw, until)
        except OSError as error:
            late = isinstance(error, TimeoutError)
            return self._lost(shard, ServerUnavailable("takes no message in time") if late else _GONE)
        return self._connections[address]

    def _arrived(self, shard: int, sent: Any) -> Message | FramesiftError | None:
        try:
            if (raw := sent.arrived()) is None:
                return None
            answer = unpack(raw)
        except BlockingIOError:
            return None
        except OSError:
            return self._lost(shard, _GONE)
        except ServerError as error:
            return error
        self.heard = max(self.heard, int(answer.head.get(LATEST, 0)))
        return answer

    def _lost(self, shard: int, why: FramesiftError) -> FramesiftError:
        """Why a shard has no answer, whose connection is no good any more."""
        if (connection := self._connections.pop(self._directory.addresses[shard], None)) is not None:
            connection.close()
        return self._named(shard, why)

    def _named(self, shard: int, error: FramesiftError) -> FramesiftError:
        return type(error)(f"shard {shard}/{self.count} of the gallery {error}")

    def _look(self) -> None:
        """Read the addresses if they have changed, and forget connections that lead nowhere."""
        changed = self._path.stat().st_mtime_ns
        if changed == self._read_at:
            return
        before, self._directory = self._directory, Directory.read(self._path)
        self._read_at = changed
        for address in [*self._connections]:
            if address not in self._directory.addresses or before.secret != self._directory.secret:
                self._connections.pop(address).close()
