"""When a call that the server refused is tried again."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator

# A search takes milliseconds, so the first waits are short; after three seconds it is the caller's turn to decide.
_WAITS_S = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6)


def waits(timeout_s: float | None) -> Iterator[float]:
    """Seconds to wait before each new try, as long as the next one still falls within ``timeout_s`` from now.

    Each is drawn from a range around its length, so that those who were refused together do not come back together.
    """
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    for length in _WAITS_S:
        wait = length * random.uniform(0.5, 1.5)
        if deadline is not None and time.monotonic() + wait > deadline:
            return
        yield wait
