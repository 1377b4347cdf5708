"""Floods of connections that keep the door waiting: others are answered meanwhile, and each of them is ended."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import mkdtemp

from framesift.errors import FramesiftError
from framesift.serving.front.certificates import Tls
from framesift.serving.front.overload import HEAP_BYTES
from framesift.serving.front.supervision import Supervision
from framesift.serving.server.door import NAME, Reach

from ..serving.certificates import certificates
from ..serving.front.alone import standing
from . import crowds, slow_readers
from .held import HANDSHAKES, KINDS, Kind, held
from .raw_http import exchange
from .table import Progress, Row
from .target import Target, asked, resident

# What a search may take while others hold connections, and how much later than it should a busy machine may end one.
_SEARCH_S, _LATE_S = 5.0, 15.0
# Below this many the longest waits are not waited for.
_ALL = 200
_SHORT_S = 12.0


def attack(target: Target, count: int, progress: Progress, patience: float) -> list[Row]:
    """Hold ``count`` connections of every kind, or the kind's share of that; some of each, however few.

    Args:
        patience: how many times longer than promised a search may take.
    """
    kinds = [kind for kind in (*KINDS, *slow_readers.kinds(target)) if count >= _ALL or kind.within_s <= _SHORT_S]
    alive = Row("floods: no process ends")
    small = Row(f"floods: the door holds less than the {HEAP_BYTES >> 20} MiB that connections may have")
    right = Row(f"floods: a search meanwhile has its right answer within {_SEARCH_S:g} s")
    before, largest = target.processes(), 0

    def meanwhile() -> None:
        nonlocal largest
        largest = max(largest, resident(before["door"][0]))
        _searched(target, right, patience)

    with slow_readers.film(target):
        rows = asyncio.run(_held(kinds, target.server.address, count, meanwhile))
    gone = sorted(name for name, pids in before.items() if target.processes().get(name) != pids)
    alive.see(not gone, f"{', '.join(gone)} ended")
    small.worst = f"{largest >> 20} MiB"
    small.see(largest < HEAP_BYTES, f"it had {largest >> 20} MiB")
    progress(count)
    return [alive, small, right, *rows, *_handshakes(target, count), *crowds.attack(target, count, patience)]


async def _held(kinds: list[Kind], address: str, count: int, meanwhile: Callable[[], None]) -> list[Row]:
    """Hold connections of several kinds at once, and do something else once a second until all are ended."""
    rows, tasks = [], []
    for kind in kinds:
        row = Row(f"floods: {kind.name} are ended within {kind.within_s:g} s")
        some = max(1, round(kind.share * count))
        tasks.append(asyncio.ensure_future(_of_a_kind(kind, address, some, row)))
        rows.append(row)
    ended = asyncio.gather(*tasks)
    while not ended.done():
        await asyncio.to_thread(meanwhile)
        await asyncio.wait([ended], timeout=1)
    await ended
    return rows


async def _of_a_kind(kind: Kind, address: str, count: int, row: Row) -> None:
    most = kind.within_s + _LATE_S
    longest = 0.0
    for seconds in await asyncio.gather(*(held(kind, address, most) for _ in range(count))):
        row.see(seconds < most, f"one was still there after {seconds:.0f} s")
        longest = max(longest, seconds)
    row.worst = f"{longest:.1f} s"


def _searched(target: Target, row: Row, patience: float) -> None:
    began = time.monotonic()
    try:
        with target.client(timeout_s=_SEARCH_S * patience) as client:
            same = asked(client, target.clips) == target.answer
    except FramesiftError as error:
        row.see(False, f"{error}")
        return
    row.see(same, "another answer came")
    row.worst = max(row.worst, f"{time.monotonic() - began:.3f} s")


def _handshakes(target: Target, count: int) -> list[Row]:
    """The same of a door with TLS and nothing behind it."""
    folder = Path(mkdtemp(dir=target.folder))
    keys = certificates(folder)
    live = Row("floods: a door with half-open handshakes lives and answers")
    tls = Reach(tls=Tls(keys / "server.crt", keys / "server.key"))
    with standing(target.bundle.root, folder / "run", tls) as (address, run):
        pid = Supervision(run.root).pid(NAME)

        def meanwhile() -> None:
            live.see(Supervision(run.root).pid(NAME) == pid, "the door was started again")

        rows = asyncio.run(_held([HANDSHAKES], address, count, meanwhile))
        # In the clear nothing is answered, and the connection is ended.
        plain = asyncio.run(exchange(address, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 5))
        live.see(plain.status is None, f"{plain.status} came in the clear")
    return [live, *rows]
