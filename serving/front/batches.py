"""Searches that wait while others are upstream go together, as the rows of one request."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence

import numpy as np
import numpy.typing as npt

from ...export.bundle.errors import FramesiftError, ServerError
from .background import Background
from .fair_queue import Entry, FairQueue
from .splitting import rows_of
from .status import Restarting
from .upstream import Output

_LOG = logging.getLogger(__name__)
# Requests upstream at once: one batch is in the encoder while another is searched for. More would only wait there.
SLOTS = 2
# How often a server that is being started is tried, and how long searches are kept for it.
_TRY_S = 0.02
_HOLD_S = 5.0

Send = Callable[[npt.NDArray[np.int64], int, Sequence[Entry]], Awaitable[list[Output]]]
Outcome = list[Output] | FramesiftError | Restarting


class Batches:
    """Sends searches upstream, as many together as wait.

    While nothing is upstream a search leaves in the same turn of the event loop. While something is, what waits leaves
    once it is as much: a few rows cost a scan of the gallery nearly what many do. Nothing that was sent is ever
    cancelled; what was not sent when its client left is dropped.

    Args:
        send: searches for token ids int64 [B, W] and a number of hits, on behalf of some entries.
        most: the most rows of one request.
        ended: called once for every entry, when its work has ended.
        observe: called with the rows of every request.
        slots: requests upstream at once.
    """

    def __init__(
        self,
        send: Send,
        most: int,
        ended: Callable[[Entry], None],
        observe: Callable[[int], None],
        slots: int = SLOTS,
    ) -> None:
        self._send, self._most, self._ended, self._observe = send, most, ended, observe
        self._free = slots
        self._queue = FairQueue()
        # What counts: a cancel and an answer may come in the same turn of the loop, and only one of them ends it.
        self._inside: set[Entry] = set()
        self._upstream: set[Entry] = set()
        # Requests upstream in which those that have many may have rows.
        self._wide = 0
        self._background = Background()
        self._gone_since: float | None = None

    @property
    def waiting(self) -> int:
        """Rows that wait to be sent."""
        return _rows(entry for entry in self._queue if not entry.answer.done())

    @property
    def in_flight(self) -> int:
        """Rows upstream."""
        return _rows(self._upstream)

    def put(self, entry: Entry) -> None:
        """Queue a search; its ``answer`` tells the outcome."""
        entry.answer.add_done_callback(lambda _: self._known(entry))
        self._inside.add(entry)
        self._queue.put(entry)
        if self._free and self._enough():
            self._free -= 1
            # What this turn of the loop brings goes together.
            asyncio.get_running_loop().call_soon(self._go)

    async def stop(self) -> None:
        """Give up what is upstream."""
        await self._background.stop()

    def _known(self, entry: Entry) -> None:
        """The answer is there, or nobody waits for it: work that is not upstream has ended with that."""
        if entry not in self._upstream:
            self._end(entry)

    def _end(self, entry: Entry) -> None:
        if entry in self._inside:
            self._inside.discard(entry)
            self._queue.leave(entry)
            self._ended(entry)

    def _enough(self) -> bool:
        """Whether it is time to send what waits."""
        if self._upstream and self._queue.mixed:
            return not self._wide or self._queue.few_wait
        return self._queue.rows >= min(self.in_flight, self._most)

    def _go(self) -> None:
        """Use a slot: send what waits, or free it."""
        mixed = self._queue.mixed
        few = mixed and bool(self._wide)
        entries = self._queue.take(self._most, mixed=mixed, few=few) if self._enough() else []
        if entries:
            self._upstream.update(entries)
            self._wide += not few
            self._background.start(self._together(entries, few))
        else:
            self._free += 1

    async def _together(self, entries: list[Entry], few: bool) -> None:
        outcomes = await self._outcomes(entries)
        self._upstream.difference_update(entries)
        self._wide -= not few
        held, answered = [], time.monotonic()
        for entry, outcome in zip(entries, outcomes, strict=True):
            entry.answered = answered
            if entry.answer.done():
                self._end(entry)
            elif isinstance(outcome, Restarting):
                held.append(entry)
            elif isinstance(outcome, FramesiftError):
                entry.answer.set_exception(outcome)
            else:
                entry.answer.set_result(outcome)
        if any(isinstance(outcome, Restarting) for outcome in outcomes):
            self._hold(held)
            asyncio.get_running_loop().call_later(_TRY_S, self._go)
        else:
            self._gone_since = None
            self._go()

    async def _outcomes(self, entries: Sequence[Entry]) -> Sequence[Outcome]:
        """The answer or the error of every entry. Of a batch that fails, each is tried alone, once."""
        ids = entries[0].ids if len(entries) == 1 else np.concatenate([entry.ids for entry in entries])
        error: FramesiftError | Restarting
        sent = time.monotonic()
        for entry in entries:
            entry.sent, entry.batch_rows = sent, len(ids)
        try:
            self._observe(len(ids))
            return rows_of(await self._send(ids, entries[0].top, entries), [entry.rows for entry in entries])
        except (FramesiftError, Restarting) as found:
            error = found
        except Exception as found:
            _LOG.exception("a batch of searches failed")
            error = ServerError(f"internal error in the front door: {type(found).__name__}")
        if len(entries) == 1 or isinstance(error, Restarting):
            return [error] * len(entries)
        return [(await self._outcomes([entry]))[0] for entry in entries]

    def _hold(self, entries: list[Entry]) -> None:
        """Keep searches for a server that is being started: they change nothing, so they may be sent again."""
        now = asyncio.get_running_loop().time()
        self._gone_since = now if self._gone_since is None else self._gone_since
        # What ended a process would take the same neighbours along again.
        for entry in entries:
            entry.alone = True
        self._queue.put_back(entries)
        for entry in self._queue:
            if not entry.answer.done() and now - max(entry.since, self._gone_since) > _HOLD_S:
                entry.answer.set_exception(Restarting(f"Triton server was not back within {_HOLD_S:g} s"))


def _rows(entries: Iterable[Entry]) -> int:
    return sum(entry.rows for entry in entries)
