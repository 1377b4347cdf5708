"""Items that are made ahead: the same ones, with what their maker raises, and no thread left behind."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from framesift.serving.gallery.ahead import ahead, at_once


def test_items_come_in_order_and_one_is_made_ahead() -> None:
    made: list[int] = []

    def items() -> Iterator[int]:
        for number in range(50):
            made.append(number)
            yield number

    found = []
    for item in ahead(items()):
        found.append(item)
        assert len(made) <= len(found) + 3
    assert found == list(range(50))


def test_what_the_maker_raises_is_raised_behind_what_it_made() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise ValueError("no more")

    held = ahead(items())
    assert next(held) == 1
    with pytest.raises(ValueError, match="no more"):
        next(held)


def test_whoever_leaves_early_leaves_no_thread() -> None:
    def items() -> Iterator[int]:
        number = 0
        while True:
            yield (number := number + 1)

    # Those of other tests end when they like.
    before = set(threading.enumerate())
    held = ahead(items())
    assert next(held) == 1
    (made,) = (thread for thread in set(threading.enumerate()) - before if thread.name == "gallery-ahead")
    held.close()
    assert not made.is_alive()


def test_work_at_once_keeps_the_order_and_makes_few_items_ahead() -> None:
    made: list[int] = []

    def items() -> Iterator[int]:
        for number in range(50):
            made.append(number)
            yield number

    for number, squared in enumerate(at_once(lambda item: item * item, items())):
        assert squared == number * number
        assert len(made) <= number + 6


def test_work_at_once_raises_when_no_thread_is_at_work() -> None:
    working, release = threading.Semaphore(0), threading.Event()

    def work(number: int) -> int:
        if number == 0:
            raise ValueError("the first")
        working.release()
        release.wait(10)
        ended.append(number)
        return number

    ended: list[int] = []
    threading.Timer(0.2, release.set).start()
    with pytest.raises(ValueError, match="the first"):
        list(at_once(work, range(20)))
    assert sorted(ended) == list(range(1, len(ended) + 1))
    assert len(ended) < 19
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("gallery-at-once")]
