"""Who is let in, and how callers share the house."""

from __future__ import annotations

import random

import pytest

from framesift.serving.front.admission import Admission


def enter(admission: Admission, caller: str, *rows: int) -> list[bool]:
    return [admission.enter(caller, count) for count in rows]


def test_no_more_than_the_limit_are_let_in() -> None:
    admission = Admission(8)
    assert enter(admission, "a", *[1] * 10) == [True] * 8 + [False] * 2
    assert admission.rows == 8


def test_a_request_with_many_rows_has_a_larger_limit() -> None:
    admission = Admission(8)
    assert enter(admission, "a", 7, 32, 1, 32) == [True, True, False, True]
    assert enter(admission, "a", 32, 32, 32) == [True, True, False]
    assert admission.rows == 7 + 4 * 32


def test_who_ends_makes_room() -> None:
    admission = Admission(8)
    assert enter(admission, "a", 5, 3, 1) == [True, True, False]
    admission.leave("a", 5)
    assert admission.rows == 3
    assert enter(admission, "a", 5) == [True]


def test_a_caller_that_fills_the_house_keeps_nobody_out() -> None:
    admission = Admission(48)
    assert enter(admission, "many", *[1] * 64).count(True) == 48
    assert enter(admission, "one", 1) == [True]
    assert enter(admission, "one", *[1] * 40).count(True) == 23
    # While the other is there, the first gets no more than half again.
    for _ in range(30):
        admission.leave("many")
    assert enter(admission, "many", *[1] * 30).count(True) == 6
    for _ in range(24):
        admission.leave("one")
    assert enter(admission, "many", *[1] * 64).count(True) == 24


def test_very_many_callers_have_a_limit_together() -> None:
    admission = Admission(48)
    assert [admission.enter(f"caller {number}", 1) for number in range(1000)].count(True) <= 8 * 48


@pytest.mark.parametrize("seed", range(5))
def test_what_is_counted_is_what_is_inside(seed: int) -> None:
    random_ = random.Random(seed)
    admission = Admission(48)
    inside: list[tuple[str, int]] = []
    for _ in range(3000):
        if inside and random_.random() < 0.5:
            admission.leave(*inside.pop(random_.randrange(len(inside))))
        else:
            caller, rows = random_.choice("abcd"), random_.choice((1, 1, 1, 4, 32))
            if admission.enter(caller, rows):
                inside.append((caller, rows))
        assert admission.rows == sum(rows for _, rows in inside)
        # Whoever has nothing inside gets in, whatever the others do.
        absent = set("abcd") - {caller for caller, _ in inside}
        for caller in absent:
            assert admission.enter(caller, 1)
            admission.leave(caller, 1)
    for caller, rows in inside:
        admission.leave(caller, rows)
    assert admission.rows == 0
