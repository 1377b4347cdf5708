"""Making what comes next while what there is is being used."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


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
