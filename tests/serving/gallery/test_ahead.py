"""Items that are made ahead: the same ones, with what their maker raises, and no thread left behind."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from framesift.serving.gallery.ahead import ahead


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

    before = threading.active_count()
    held = ahead(items())
    assert next(held) == 1
    held.close()
    assert threading.active_count() == before
