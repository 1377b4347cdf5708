"""Parts of a run on a device that is there for minutes: what matters most first, nothing that can't end in time."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Part:
    """A part of a run.

    Attributes:
        seconds: that it is expected to take; it is told how many it may.
    """

    name: str
    seconds: float
    run: Callable[[float], object]


def run_parts(
    parts: Sequence[Part],
    budget_s: float,
    report: Callable[[str], None],
    clock: Callable[[], float] = time.monotonic,
) -> list[str]:
    """Run parts in their order within ``budget_s`` seconds; those that no longer fit are left out.

    An error ends its part alone.

    Returns:
        The names of what was left out.
    """
    end = clock() + budget_s
    left_out = []
    for part in parts:
        left = end - clock()
        if left < part.seconds:
            left_out.append(part.name)
            continue
        report(f"{part.name}: {left:.0f} s are left")
        try:
            part.run(left)
        # Rows that follow are worth more than a clean end.
        except Exception as error:
            report(f"{part.name} ended: {type(error).__name__}: {error}"[:400])
            left_out.append(part.name)
    return left_out
