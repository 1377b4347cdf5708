"""The processor time that this thread takes."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def thread_time_below(seconds: float) -> Iterator[None]:
    """Checks that the block takes less.

    The collector, which may look through what all other tests have left, waits meanwhile. The least of several times
    would not do: words are remembered.
    """
    gc.disable()
    try:
        started = time.thread_time()
        yield
        taken = time.thread_time() - started
    finally:
        gc.enable()
    assert taken < seconds
