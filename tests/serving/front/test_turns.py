"""Slots of shared memory, and who gives way: callers that send slowly keep nobody out who has none."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from framesift.export.bundle.errors import ServerUnavailable
from framesift.serving.front import arena as front_arena
from framesift.serving.front import slot as front_slot
from framesift.serving.front.arena import Arena

from ...waiting import LIMIT_S, until_async

NAME = f"framesift-turns-{os.getpid()}-arena"
SLOT = 1 << 16


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Arena]]:
    monkeypatch.setattr(front_slot, "TURN_S", 0.2)
    monkeypatch.setattr(front_arena, "_LOOK_S", 0.05)
    arenas: list[Arena] = []

    def make(slots: int, most: int, room: int) -> Arena:
        arenas.append(Arena(NAME, slots, most, SLOT, room))
        return arenas[-1]

    yield make
    for arena in arenas:
        arena.close()
    for path in Path("/dev/shm").glob(f"{NAME}-*"):
        path.unlink()


class Uploads:
    """Uploads that go on until they are told to end."""

    def __init__(self, arena: Arena) -> None:
        self._arena = arena
        self.over = asyncio.Event()
        self.begun: list[str] = []

    def start(self, caller: str, name: str, size: int = 1000, written: int = 0) -> asyncio.Task[str]:
        return asyncio.ensure_future(self._upload(caller, name, size, written))

    async def _upload(self, caller: str, name: str, size: int, written: int) -> str:
        async with self._arena.slot(caller, size) as slot, slot.arriving():
            self.begun.append(name)
            slot.begin()
            slot.write(bytes(written))
            await self.over.wait()
        return name


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def whole() -> None:
        await asyncio.wait_for(test(), LIMIT_S)

    asyncio.run(whole())


def test_two_callers_with_all_that_they_may_have_keep_no_third_out(made: Callable[..., Arena]) -> None:
    async def test() -> None:
        uploads = Uploads(made(6, 2, 6 * SLOT))
        tasks = [uploads.start(caller, f"{caller}{n}") for caller in ("many", "more") for n in range(4)]
        await until_async(lambda: len(uploads.begun) == 4)
        third = uploads.start("one", "one")
        await until_async(lambda: "one" in uploads.begun)
        assert sorted(uploads.begun) == ["many0", "many1", "more0", "more1", "one"]
        uploads.over.set()
        assert await third == "one"
        # Nobody had to give way.
        assert len(await asyncio.gather(*tasks)) == 8

    run(test)


@pytest.mark.parametrize(("slots", "room"), [(4, 100 * SLOT), (8, 4000)], ids=["slots", "room"])
def test_where_all_is_taken_the_slowest_of_whoever_has_the_most_gives_way(
    slots: int, room: int, made: Callable[..., Arena]
) -> None:
    async def test() -> None:
        uploads = Uploads(made(slots, 3, room))
        single = uploads.start("single", "single")
        many = [uploads.start("many", f"many{written}", written=written) for written in (900, 100, 500)]
        await until_async(lambda: len(uploads.begun) == 4)
        # Where one of them alone has had its time, it would be that one.
        await asyncio.sleep(1.5 * front_slot.TURN_S)
        third = uploads.start("one", "one")
        await until_async(lambda: "one" in uploads.begun)
        with pytest.raises(ServerUnavailable, match="the upload came slowly: try again"):
            await many[1]
        # Somebody who has a slot takes none from others.
        again = uploads.start("one", "again")
        await asyncio.sleep(0.6)
        assert "again" not in uploads.begun
        uploads.over.set()
        assert await asyncio.gather(single, many[0], many[2], third, again) == [
            "single",
            "many900",
            "many500",
            "one",
            "again",
        ]

    run(test)


def test_a_large_one_gets_its_room_from_as_many_as_it_takes(made: Callable[..., Arena]) -> None:
    async def test() -> None:
        uploads = Uploads(made(8, 4, 4000))
        many = [uploads.start("many", f"many{number}") for number in range(4)]
        await until_async(lambda: len(uploads.begun) == 4)
        large = uploads.start("one", "large", 2500)
        await until_async(lambda: "large" in uploads.begun)
        uploads.over.set()
        ends = await asyncio.gather(*many, large, return_exceptions=True)
        assert sum(isinstance(end, ServerUnavailable) for end in ends) == 3
        assert ends[-1] == "large"

    run(test)


def test_an_upload_that_is_quick_enough_is_never_cut_off(
    made: Callable[..., Arena], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(front_slot, "PACE", 0)

    async def test() -> None:
        uploads = Uploads(made(2, 2, 2 * SLOT))
        many = [uploads.start("many", f"many{number}") for number in range(2)]
        await until_async(lambda: len(uploads.begun) == 2)
        third = uploads.start("one", "one")
        await asyncio.sleep(0.6)
        assert not third.done()
        # Nor is one whose tensors have arrived, and who waits for its answer.
        uploads.over.set()
        assert await asyncio.gather(*many, third) == ["many0", "many1", "one"]

    run(test)
