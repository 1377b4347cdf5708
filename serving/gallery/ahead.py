"""Making what comes next while what there is is being used, and using several at once."""

from __future__ import annotations

import contextlib
import os
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
# More would wait for one another, and for the thread that makes the items.
_MOST_THREADS = 4


def ahead(items: Iterable[Item], depth: int = 1) -> Iterator[Item]:
    """The same items, made by a thread that is up to ``depth`` items ahead; what it raises is raised here."""
    made: queue.Queue[tuple[Item | None, BaseException | None, bool]] = queue.Queue(depth)
    left = threading.Event()

    def put(item: Item | None, error: BaseException | None, more: bool) -> None:
        while not left.is_set():
            with contextlib.suppress(queue.Full):
                made.put((item, error, more), timeout=0.1)
                return

    def make() -> None:
        try:
            for item in items:
                put(item, None, True)
                if left.is_set():
                    return
            put(None, None, False)
        except BaseException as error:
            put(None, error, False)

    thread = threading.Thread(target=make, name="gallery-ahead", daemon=True)
    thread.start()
    try:
        while True:
            item, error, more = made.get()
            if error is not None:
                raise error
            if not more:
                return
            assert item is not None
            yield item
    finally:
        left.set()
        thread.join()


def at_once(work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """``work`` on every item, by as many threads as there are processors, the results in the items' order.

    No more items are made than the threads need. What ``items`` or ``work`` raises is raised here, once no thread is at
    work any more.
    """
    threads = min(_MOST_THREADS, len(os.sched_getaffinity(0)))
    begun: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="gallery-at-once") as pool:
        try:
            for item in items:
                begun.append(pool.submit(work, item))
                if len(begun) > threads:
                    yield begun.popleft().result()
            while begun:
                yield begun.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)
