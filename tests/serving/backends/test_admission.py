"""How many searches are admitted, and when they are known to be completed."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from framesift.serving.backends.admission import AdmissionControl, Completed

SECOND = 1_000_000_000


class Clock:
    """The time in nanoseconds, told by the test."""

    def __init__(self) -> None:
        # Behind the real time, and above zero however recently the machine was started.
        self.now = time.monotonic_ns() // 2

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def completed(tmp_path: Path) -> Completed:
    return Completed(tmp_path / "completed")


@pytest.fixture
def admission(completed: Completed, clock: Clock) -> AdmissionControl:
    return AdmissionControl(completed, 8, clock)


def admit(admission: AdmissionControl, clock: Clock, *texts: int) -> tuple[int, list[bool]]:
    """The stamp of one execution a millisecond later, and whether its searches were admitted."""
    clock.now += SECOND // 1000
    stamp = admission.next_stamp()
    return stamp, [admission.admit(count) for count in texts]


def test_no_more_than_the_limit_are_let_in(admission: AdmissionControl, clock: Clock) -> None:
    assert admit(admission, clock, *[1] * 6)[1] == [True] * 6
    assert admit(admission, clock, *[1] * 4)[1] == [True, True, False, False]
    assert admission.in_flight == 8


def test_a_search_with_many_texts_has_a_larger_limit(admission: AdmissionControl, clock: Clock) -> None:
    assert admit(admission, clock, 7, 32, 1, 32)[1] == [True, True, False, True]
    assert admit(admission, clock, 32, 32, 32)[1] == [True, True, False]
    assert admission.in_flight == 7 + 4 * 32


def test_who_comes_out_makes_room(admission: AdmissionControl, clock: Clock, completed: Completed) -> None:
    first, _ = admit(admission, clock, 5)
    second, _ = admit(admission, clock, 3)
    assert admit(admission, clock, 1)[1] == [False]
    completed.complete(first)
    assert admission.in_flight == 3
    completed.complete(second)
    assert admission.in_flight == 0


def test_who_fails_on_the_way_is_out_with_the_next(
    admission: AdmissionControl, clock: Clock, completed: Completed
) -> None:
    for _ in range(7):
        admit(admission, clock, 1)
    last, _ = admit(admission, clock, 1)
    completed.complete(last)
    assert admission.in_flight == 0


def test_who_fails_at_once_does_not_count(admission: AdmissionControl, clock: Clock) -> None:
    for _ in range(100):
        assert admit(admission, clock, 2, 2)[1] == [True, True]
        admission.release(2)
        admission.release(2)
    assert admission.in_flight == 0


def test_where_nobody_comes_out_the_lost_are_forgotten(
    admission: AdmissionControl, clock: Clock, completed: Completed
) -> None:
    admit(admission, clock, 8)
    clock.now += 9 * SECOND
    assert admission.in_flight == 8
    clock.now += 2 * SECOND
    assert admission.in_flight == 0
    # Once the time of a search is known, here 5 ms, one second is enough.
    completed.complete(time.monotonic_ns() - SECOND // 200)
    clock.now = completed.stamp
    admit(admission, clock, 8)
    clock.now += SECOND * 9 // 10
    assert admission.in_flight == 8
    clock.now += SECOND // 5
    assert admission.in_flight == 0


def test_what_came_out_outlives_the_processes(completed: Completed, tmp_path: Path) -> None:
    stamp = time.monotonic_ns() - SECOND
    completed.complete(stamp)
    again = Completed(tmp_path / "completed")
    assert again.stamp == stamp
    assert SECOND <= again.took_ns < 2 * SECOND
    again.complete(stamp - 1)
    again.complete(time.monotonic_ns() + 3600 * SECOND)
    assert completed.stamp == stamp
