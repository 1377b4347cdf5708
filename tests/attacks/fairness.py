"""A caller with 64 clients beside one with a single client: how long the latter waits."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from framesift.errors import ServerUnavailable

from .table import Progress, Row
from .target import SEARCHERS, Target

CLIENTS = 64
MOST = 3.0
ROOT = Path(__file__).parents[2]
_ROUNDS = 3


def attack(target: Target, searches: int, progress: Progress, patience: float = 1.0) -> list[Row]:
    """Compare a caller's searches alone with as many beside another's 64 clients, thrice in turn.

    All three rounds are judged as one: of a few dozen searches the 95th percentile is the second or third worst.
    """
    most = MOST * patience
    row = Row(
        f"a caller with {CLIENTS} clients beside one with 1: the latter's p95 is below {most:.3g} times its own alone"
    )
    refused = Row("the caller with 1 is never refused")
    alone: list[float] = []
    beside: list[float] = []
    each = searches // _ROUNDS
    for _ in range(_ROUNDS):
        alone += _timed(target, each)[0]
        with _flood(target):
            taken, refusals = _timed(target, each)
        beside += taken
        refused.see(refusals == 0, f"{refusals} of {each} searches")
        progress(each)
    first, second = (1000 * float(np.percentile(taken, 95)) for taken in (alone, beside))
    row.worst = f"{first:.1f} and {second:.1f} ms, {second / first:.2f}"
    row.see(second < most * first, f"p95 {row.worst} times")
    return [row, refused]


def _timed(target: Target, searches: int) -> tuple[list[float], int]:
    """Seconds of each search, and how many were refused."""
    taken, refused = [], 0
    with target.client(SEARCHERS[0], timeout_s=30, retry=False) as client:
        for number in range(searches):
            started = time.perf_counter()
            try:
                client.search(f"query {number}", top=5)
            except ServerUnavailable:
                refused += 1
            taken.append(time.perf_counter() - started)
    return taken, refused


@contextmanager
def _flood(target: Target) -> Iterator[None]:
    """The other caller, in a process of its own, which shares no interpreter with the one that measures."""
    command = [sys.executable, "-m", "tests.attacks.fairness", target.server.address]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    # A token stands in no command line.
    process.stdin.write(f"{target.tokens[SEARCHERS[1]]}\n")
    process.stdin.flush()
    assert process.stdout.readline() == "begun\n"
    try:
        yield
    finally:
        process.terminate()
        process.wait()


async def _search_for_ever(address: str, token: str) -> None:
    from framesift import AsyncClient, Credentials

    answered = 0

    async def one(number: int) -> None:
        nonlocal answered
        async with AsyncClient(address, timeout_s=30, credentials=Credentials(token)) as client:
            while True:
                try:
                    await client.search(f"query {number}", top=5)
                except ServerUnavailable:
                    # Whoever is refused comes again soon, fifty times a second.
                    await asyncio.sleep(0.02)
                answered += 1
                if answered == CLIENTS:
                    print("begun", flush=True)

    await asyncio.gather(*map(one, range(CLIENTS)))


if __name__ == "__main__":
    # On a machine of its own a client takes no processor from the server.
    os.nice(19)
    asyncio.run(_search_for_ever(sys.argv[1], sys.stdin.readline().strip()))
