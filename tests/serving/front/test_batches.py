"""Searches that go together: which, in whose turn, and what becomes of them where something fails."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from framesift.export.bundle.errors import FramesiftError, InvalidQuery, ServerError
from framesift.serving.front import batches as module
from framesift.serving.front import fair_queue
from framesift.serving.front.batches import Batches
from framesift.serving.front.fair_queue import Entry
from framesift.serving.front.status import Restarting
from framesift.serving.front.upstream import Output


class Upstream:
    """Answers each row with its first token id, when it is told to; what was sent stands in ``requests``."""

    def __init__(self) -> None:
        self.requests: list[list[int]] = []
        self.open = asyncio.Event()
        self.fails: Callable[[list[int]], Exception | None] = lambda rows: None

    async def send(self, ids: np.ndarray, top: int, entries: Sequence[Entry]) -> list[Output]:
        rows = ids[:, 0].tolist()
        self.requests.append(rows)
        await self.open.wait()
        if (error := self.fails(rows)) is not None:
            raise error
        return [Output("scores", "FP32", (len(rows), 1), memoryview(struct.pack(f"<{len(rows)}f", *rows)))]


class Bench:
    """Batches over an ``Upstream``."""

    def __init__(self, most: int = 8, slots: int = 2) -> None:
        self.upstream = Upstream()
        self.ended: list[Entry] = []
        self.batches = Batches(self.upstream.send, most, self.ended.append, lambda rows: None, slots)

    def put(self, *rows: int, caller: str = "a", top: int = 5, width: int = 16) -> Entry:
        ids = np.zeros((len(rows), width), np.int64)
        ids[:, 0] = rows
        loop = asyncio.get_running_loop()
        entry = Entry(caller, ids, top, loop.time(), loop.create_future())
        self.batches.put(entry)
        return entry


def scores(outputs: list[Output]) -> list[float]:
    return list(struct.unpack(f"<{len(outputs[0].raw) // 4}f", outputs[0].raw))


@pytest.fixture(autouse=True)
def _moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever came in a test came a moment ago, however long the test takes."""
    monkeypatch.setattr(fair_queue, "_MOMENT_S", 600.0)


async def turn() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_a_search_leaves_at_once_and_what_waits_meanwhile_goes_together() -> None:
    async def run() -> None:
        bench = Bench(slots=1)
        first = bench.put(1)
        await turn()
        assert bench.upstream.requests == [[1]]
        rest = [bench.put(2), bench.put(3, 4), bench.put(5)]
        await turn()
        assert bench.upstream.requests == [[1]]
        assert (bench.batches.waiting, bench.batches.in_flight) == (4, 1)
        bench.upstream.open.set()
        assert scores(await first.answer) == [1]
        assert [scores(await entry.answer) for entry in rest] == [[2], [3, 4], [5]]
        assert bench.upstream.requests == [[1], [2, 3, 4, 5]]
        await turn()
        assert bench.ended == [first, *rest]
        assert (bench.batches.waiting, bench.batches.in_flight) == (0, 0)

    asyncio.run(run())


def test_two_requests_are_upstream_at_once_and_no_more() -> None:
    async def run() -> None:
        bench = Bench()
        for row in range(4):
            bench.put(row)
            await turn()
        assert bench.upstream.requests == [[0], [1]]

    asyncio.run(run())


def test_what_waits_goes_beside_a_request_once_it_is_as_much() -> None:
    async def run() -> None:
        bench = Bench()
        bench.put(1, 2, 3)
        await turn()
        for row in (4, 5):
            bench.put(row)
            await turn()
        assert bench.upstream.requests == [[1, 2, 3]]
        gone = bench.put(6)
        gone.answer.cancel()
        last = bench.put(7)
        await turn()
        # Who has left is not counted for ever, and what is too little waits no longer than until nothing is upstream.
        assert bench.upstream.requests == [[1, 2, 3], [4, 5, 7]]
        alone = bench.put(8)
        bench.upstream.open.set()
        assert scores(await last.answer) == [7]
        assert scores(await alone.answer) == [8]
        assert bench.upstream.requests == [[1, 2, 3], [4, 5, 7], [8]]
        assert bench.batches.waiting == 0

    asyncio.run(run())


def test_a_request_has_rows_of_one_top_and_width_and_never_too_many() -> None:
    async def run() -> None:
        bench = Bench(most=4, slots=1)
        entries = [
            bench.put(1),
            bench.put(2, top=9),
            bench.put(3),
            bench.put(4, width=32),
            bench.put(5, 6, 7),
            bench.put(8, 9),
        ]
        bench.upstream.open.set()
        await asyncio.gather(*(entry.answer for entry in entries))
        assert bench.upstream.requests == [[1, 3], [2], [4], [5, 6, 7], [8, 9]]

    asyncio.run(run())


def test_whoever_has_one_search_beside_hundreds_is_in_the_next_request() -> None:
    async def run() -> None:
        bench = Bench(most=32, slots=1)
        for row in range(100):
            bench.put(row, caller="many")
        await turn()
        last = bench.put(1000, caller="one")
        large = bench.put(*range(2000, 2020), caller="large")
        bench.upstream.open.set()
        await last.answer
        assert 1000 in bench.upstream.requests[1]
        await large.answer
        # Its rows are as many as many searches: it waits until its turns amount to them, and not for ever.
        assert sum(map(len, bench.upstream.requests)) < 100

    asyncio.run(run())


def test_whoever_has_many_sends_few_at_a_time_beside_whoever_has_few(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        bench = Bench(most=32)
        first = bench.put(1000, caller="one")
        await turn()
        many = [bench.put(row, caller="many") for row in range(80)]
        await turn()
        # A slot is left for whoever has few.
        assert bench.upstream.requests == [[1000]]
        second = bench.put(1001, caller="one")
        await turn()
        assert bench.upstream.requests == [[1000], [1001]]
        bench.upstream.open.set()
        await asyncio.gather(first.answer, second.answer, *(entry.answer for entry in many[:6]))
        assert bench.upstream.requests[2:5] == [[0, 1], [2, 3], [4, 5]]
        # Nobody with few has come for a while.
        monkeypatch.setattr(fair_queue, "_MOMENT_S", 0.0)
        await asyncio.gather(*(entry.answer for entry in many))
        assert max(map(len, bench.upstream.requests)) == 32

    asyncio.run(run())


def test_whoever_has_few_does_not_wait_for_a_large_request() -> None:
    async def run() -> None:
        bench = Bench(most=32)
        for row in range(24):
            bench.put(row, caller="many")
        await turn()
        bench.put(1000, caller="one")
        await turn()
        assert list(map(len, bench.upstream.requests)) == [24, 1]

    asyncio.run(run())


def test_those_that_have_few_do_not_keep_whoever_has_many_out() -> None:
    async def run() -> None:
        bench, opened = Bench(), []

        async def wait() -> None:
            opened.append(asyncio.Event())
            await opened[-1].wait()

        bench.upstream.open.wait = wait  # type: ignore[method-assign,assignment]
        bench.put(1000, caller="one")
        await turn()
        for row in range(40):
            bench.put(row, caller="many")
        bench.put(1001, caller="another")
        await turn()
        assert bench.upstream.requests == [[1000], [1001]]
        opened[0].set()
        await turn()
        assert bench.upstream.requests == [[1000], [1001], [0, 1]]

    asyncio.run(run())


def test_who_leaves_before_it_is_sent_is_dropped_and_who_leaves_after_counts_to_the_end() -> None:
    async def run() -> None:
        bench = Bench(slots=1)
        sent = bench.put(1)
        await turn()
        waits = bench.put(2)
        sent.answer.cancel()
        waits.answer.cancel()
        await turn()
        assert bench.ended == [waits]
        assert (bench.batches.waiting, bench.batches.in_flight) == (0, 1)
        bench.upstream.open.set()
        await turn()
        assert bench.ended == [waits, sent]
        assert bench.upstream.requests == [[1]]

    asyncio.run(run())


def test_who_leaves_in_the_turn_in_which_it_is_answered_counts_once() -> None:
    async def run() -> None:
        bench = Bench()
        entries = [bench.put(1), bench.put(2)]

        def leave(rows: list[int]) -> None:
            for entry in entries:
                entry.answer.cancel()

        bench.upstream.fails = leave
        bench.upstream.open.set()
        await turn()
        assert sorted(map(id, bench.ended)) == sorted(map(id, entries))

    asyncio.run(run())


def test_a_row_that_fails_does_not_fail_its_neighbours() -> None:
    async def run() -> None:
        bench = Bench(slots=1)
        bench.upstream.fails = lambda rows: InvalidQuery("13") if 13 in rows else None
        first = bench.put(1)
        await turn()
        entries = [bench.put(2), bench.put(13), bench.put(3)]
        bench.upstream.open.set()
        outcomes = await asyncio.gather(first.answer, *(e.answer for e in entries), return_exceptions=True)
        assert isinstance(outcomes[2], InvalidQuery)
        assert [scores(outcome) for outcome in outcomes if not isinstance(outcome, BaseException)] == [[1], [2], [3]]
        assert bench.upstream.requests == [[1], [2, 13, 3], [2], [13], [3]]
        await turn()
        assert len(bench.ended) == 4

    asyncio.run(run())


def test_an_answer_with_other_rows_is_no_answer() -> None:
    async def run() -> None:
        bench = Bench()

        async def send(ids: np.ndarray, top: int, entries: Sequence[Entry]) -> list[Output]:
            return [Output("scores", "FP32", (3, 1), memoryview(bytes(12)))]

        bench.batches._send = send
        with pytest.raises(ServerError, match="other rows"):
            await bench.put(1).answer

    asyncio.run(run())


def test_searches_are_kept_for_a_server_that_is_started_again() -> None:
    async def run() -> None:
        bench = Bench()
        bench.upstream.open.set()
        back = asyncio.get_running_loop().time() + 0.3
        bench.upstream.fails = lambda rows: Restarting("gone") if asyncio.get_running_loop().time() < back else None
        entries = [bench.put(row, caller=str(row % 3)) for row in range(6)]
        assert [scores(await entry.answer) for entry in entries] == [[row] for row in range(6)]
        await turn()
        assert len(bench.ended) == 6

    asyncio.run(run())


def test_searches_are_not_kept_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_HOLD_S", 0.2)

    async def run() -> None:
        bench = Bench(most=2, slots=1)
        bench.upstream.open.set()
        bench.upstream.fails = lambda rows: Restarting("gone")
        entries = [bench.put(row) for row in range(5)]
        outcomes = await asyncio.gather(*(entry.answer for entry in entries), return_exceptions=True)
        assert all(isinstance(outcome, Restarting) for outcome in outcomes)
        await turn()
        assert len(bench.ended) == 5
        # And once it is back, all is as before.
        bench.upstream.fails = lambda rows: None
        assert scores(await bench.put(7).answer) == [7]

    asyncio.run(run())


def test_a_bug_fails_its_searches_and_not_the_next() -> None:
    async def run() -> None:
        bench = Bench()
        bench.upstream.open.set()
        bench.upstream.fails = lambda rows: KeyError("a bug") if 1 in rows else None
        with pytest.raises(FramesiftError, match="internal error in the front door: KeyError"):
            await bench.put(1).answer
        assert scores(await bench.put(2).answer) == [2]

    asyncio.run(run())
