"""What clients hold of the door when it is too much: connections, and answers that nobody reads.

Envoy refuses whoever comes once its own limit is reached, and has no limit for an address: whoever opens connections
without end, and says something on each from time to time, would keep everybody else out; and so would whoever asks for
much and reads it slowly. While there is room nothing is ended here.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Container, Sequence

from . import metrics
from .asgi import Scope
from .missed import least_missed, least_read
from .sockets import Connection, Peer, connections, descriptors, end, resident

_LOG = logging.getLogger(__name__)
# Of the limit: from when on connections are ended, and how many are left then. What is free lasts until the next look,
# however fast others come.
_CROWDED, _LEFT = 3 / 4, 5 / 8
# Memory of this process, above what it had in the beginning, from which on it is looked for answers that lie unread;
# and what may. Envoy's own limit, where it refuses everybody, is far beyond.
GROWN, UNREAD = 192 << 20, 96 << 20
_LOOK_S, _SELDOM = 0.25, 4
_TOLD_S = 10.0
# What was sent on connections that have ended is forgotten after so long, or when so many are remembered: another
# connection may have the same address and port.
_FORGOTTEN_S, _REMEMBERED = 5.0, 4096


class Crowd:
    """Ends connections while there is too little room.

    Args:
        port: to which clients connect.
        most: connections that the server lets in; 0 where nobody is to look.

    Attributes:
        ended: connections, by cause: "crowd" or "unread".
    """

    def __init__(self, port: int, most: int) -> None:
        self._port, self._most = port, most
        # By connection: requests on it that are being answered. Who waits for an answer says nothing, and is missed.
        self._asked: Counter[Peer] = Counter()
        # By connection: bytes of answers; and answers that lie there, given up because their client reads too little.
        self._sent: Counter[Peer] = Counter()
        self._slow: Counter[Peer] = Counter()
        self._looked = time.monotonic()
        self._usual = resident()
        self.ended = metrics.Counter(
            "framesift_connections_ended_total", "Connections ended to make room for others", ("cause",)
        )
        for cause in ("crowd", "unread"):
            self.ended.add(cause, by=0)
        self._told = float("-inf")

    def begin(self, scope: Scope) -> Peer:
        """A request begins; what is returned tells of what comes of it."""
        client = scope.get("client") or ("", 0)
        peer = client[0], client[1]
        self._asked[peer] += 1
        return peer

    def sent(self, peer: Peer, size: int) -> None:
        """So many bytes of an answer were sent."""
        if self._most:
            self._sent[peer] += size

    def slow(self, peer: Peer, answers: int) -> None:
        """So many answers more were given up, because their client reads too little, or so many fewer lie there."""
        self._slow[peer] += answers
        if not self._slow[peer]:
            del self._slow[peer]

    def finish(self, peer: Peer) -> None:
        """A request has ended."""
        self._asked[peer] -= 1
        if not self._asked[peer]:
            del self._asked[peer]

    async def follow(self) -> None:
        """Look four times a second."""
        look = 0
        while self._most:
            look += 1
            try:
                crowded = descriptors() > _CROWDED * self._most
                stuck = self._stuck()
                if crowded or (look % _SELDOM == 0 and (stuck or self._heavy() or self._remembers())):
                    await asyncio.to_thread(self._look, stuck)
            except OSError:
                # No descriptor was left to look with: the next look is soon.
                _LOG.exception("looking after connections failed")
            await asyncio.sleep(_LOOK_S)

    def _stuck(self) -> frozenset[Peer]:
        """Connections with nothing but such answers: whoever reads others there, or waits for one, is not cut off."""
        return frozenset(peer for peer in self._slow if peer not in self._asked)

    def _heavy(self) -> bool:
        return resident() > self._usual + GROWN

    def _remembers(self) -> bool:
        """Whether it is time to forget connections that have ended."""
        late = time.monotonic() - self._looked > _FORGOTTEN_S
        return len(self._sent) > _REMEMBERED or (late and bool(self._sent))

    def _look(self, stuck: Container[Peer]) -> None:
        found = list(connections(self._port))
        # Not all that a process has open are connections.
        if len(found) > _CROWDED * self._most:
            self._end("crowd", found, least_missed(found, len(found) - int(_LEFT * self._most), self._asked))
        sent = dict(self._sent)
        unread = least_read(found, sent, UNREAD) if self._heavy() else []
        self._end("unread", found, [*unread, *(each for each in found if each.peer in stuck)])
        for peer in sent.keys() - {each.peer for each in found}:
            self._sent.pop(peer, None)
        self._looked = time.monotonic()

    def _end(self, cause: str, found: Sequence[Connection], chosen: Sequence[Connection]) -> None:
        ended = sum(end(connection, self._port) for connection in chosen)
        if not ended:
            return
        self.ended.add(cause, by=ended)
        if time.monotonic() - self._told > _TOLD_S:
            self._told = time.monotonic()
            address, count = Counter(connection.peer[0] for connection in found).most_common(1)[0]
            why = "for others" if cause == "crowd" else "because they left so much unread"
            _LOG.warning("%d of %d connections were ended %s; %s had %d", ended, len(found), why, address, count)
