"""Waiting for what another thread or process does."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")
# Other tests may have all processors.
LIMIT_S = 240.0


def until(
    condition: Callable[[], Found],
    limit_s: float = LIMIT_S,
    *,
    pause_s: float = 0.02,
    told: Callable[[], object] = lambda: "what was waited for has not come",
) -> Found:
    """What ``condition`` gives, once that is true.

    Args:
        limit_s: seconds; how soon it has to be, where that is promised, and else any that no working machine takes.
        told: what to say where it is not, found out then.

    Raises:
        AssertionError: it is not true in time.
    """
    deadline = time.monotonic() + limit_s
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {limit_s:g} s: {told()}")
        time.sleep(pause_s)
    return found


async def until_async(condition: Callable[[], Found], limit_s: float = LIMIT_S) -> Found:
    """As ``until``, while the event loop does other things."""
    deadline = time.monotonic() + limit_s
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {limit_s:g} s: what was waited for has not come")
        await asyncio.sleep(0.01)
    return found
