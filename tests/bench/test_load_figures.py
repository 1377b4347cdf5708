"""The arithmetic of the load generator: arrivals, corrections, percentiles and knees."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from framesift.bench import percentiles
from framesift.bench.load.arrivals import corrected, poisson
from framesift.bench.load.figures import answers, kept_up, timeline
from framesift.bench.load.jobs import Report, joined
from framesift.bench.load.knee import knee, with_knee
from framesift.bench.schema.load import Percentiles

from .reports import OK, OUTCOMES, report, window


def test_poisson_arrivals_have_the_rate_and_the_gaps_of_a_poisson_process() -> None:
    rng = np.random.default_rng()
    rate, seed = float(rng.uniform(50, 500)), int(rng.integers(1 << 31))
    times = poisson(rate, 200.0, seed)
    assert (np.diff(times) >= 0).all()
    assert 0 <= times[0] <= times[-1] < 200
    # Of a Poisson process the count has its mean as variance, and the gaps have their mean as deviation.
    assert abs(len(times) - 200 * rate) < 6 * np.sqrt(200 * rate)
    gaps = np.diff(times)
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.1)
    assert np.array_equal(times, poisson(rate, 200.0, seed))
    assert not np.array_equal(times[:20], poisson(rate, 200.0, seed + 1)[:20])


def test_a_slow_answer_counts_for_the_requests_that_it_held_up() -> None:
    got = np.sort(corrected(np.array([0.1, 1.0, 0.35]), 0.1))
    want = np.sort([0.1, *np.arange(0.1, 1.01, 0.1), 0.35, 0.25, 0.15, 0.05])
    assert got == pytest.approx(want)


def test_correction_leaves_what_was_in_time_alone() -> None:
    latencies = np.random.default_rng().uniform(0, 1, 50)
    assert np.array_equal(corrected(latencies, 1.0), latencies)


def test_percentiles_are_observed_latencies() -> None:
    latencies = np.random.default_rng().exponential(size=2000)
    found = percentiles.latencies(latencies)
    exact = np.sort(latencies) * 1e3
    assert found.max_ms == pytest.approx(exact[-1], abs=1e-3)
    assert found.p99_ms == pytest.approx(exact[int(np.ceil(0.99 * 1999))], abs=1e-3)
    assert percentiles.latencies(np.array([])) == Percentiles()


def test_a_row_counts_answers_refusals_and_failures_apart() -> None:
    row = answers(report([0, 0.5, 1.0, 1.5, 1.9], [0.1, 0.2, 0.01, 0.05, 0.4], [0, 0, 1, 2, 0]), 2.0)
    assert (row.requests, row.errors, row.refused) == (5, {"UNAVAILABLE": 1, "INTERNAL": 1}, 1)
    # The last answer came after the window: its latency counts, its throughput does not.
    assert row.qps == 1.0
    assert row.latency.max_ms == pytest.approx(400)
    assert row.refusals.max_ms == pytest.approx(10)


def test_latency_counts_from_when_a_request_was_due() -> None:
    slow = report([0, 1, 2], [0.1, 0.1, 0.1], [0, 0, 0])
    waited = Report(slow.intended - 0.5, slow.sent, slow.ended, slow.outcome, OUTCOMES, 0.0, slow.retried)
    assert answers(waited, 3.0).latency.p50_ms == pytest.approx(600)
    assert answers(waited, 3.0).late_ms == pytest.approx(500)
    assert answers(slow, 3.0).latency.p50_ms == pytest.approx(100)


def test_clients_that_send_after_the_window_did_not_keep_up() -> None:
    due = list(np.linspace(0, 1, 100, endpoint=False))
    assert kept_up(report(due, [0.01] * 100, [0] * 100), 1.0)
    assert not kept_up(report(due, [0.6] * 100, [0] * 100, late=0.5), 1.0)


def test_reports_of_several_clients_are_joined_by_the_names_of_outcomes() -> None:
    one = report([0], [1], [2])
    names = [(OK, False), ("INTERNAL", False)]
    other = Report(*(np.array([1.0]) for _ in range(3)), np.array([1]), names, 0.25, np.array([3]))
    both = joined([one, other])
    assert both.retried.tolist() == [0, 3]
    assert [both.outcomes[place][0] for place in both.outcome] == ["INTERNAL", "INTERNAL"]
    assert both.cpu_s == 0.75


def test_a_timeline_has_every_request_in_its_second() -> None:
    rng = np.random.default_rng()
    due = rng.uniform(0, 5, 300)
    points = timeline(report(list(due), list(rng.uniform(0, 1, 300)), list(rng.integers(0, 3, 300))), 5.0)
    assert [point.sent for point in points] == np.histogram(due, 5, (0, 5))[0].tolist()
    assert all(point.sent == point.answered + point.refused + point.failed for point in points)


def test_the_knee_of_a_queue_lies_where_latency_turns_up() -> None:
    load = np.linspace(0.1, 0.98, 12)
    latency = 1 / (1 - load)
    place = knee(list(load), list(latency))
    # Of 1 / (1 - x) between these ends the point farthest below the chord is where the slope is the chord's.
    chord = (latency[-1] - latency[0]) / (load[-1] - load[0])
    assert place is not None
    assert load[place] == pytest.approx(1 - np.sqrt(1 / chord), abs=load[1] - load[0])


@pytest.mark.parametrize("latency", [[5.0, 5.0, 5.0], [9.0, 7.0, 5.0], [1.0, 2.0]])
def test_without_a_turn_there_is_no_knee(latency: list[float]) -> None:
    assert knee(list(range(len(latency))), latency) is None


def test_a_level_that_refuses_is_past_the_knee() -> None:
    latencies = [10.0] * 8 + [15.0, 15.0, 100.0]
    rows = [
        window(offered_qps=100.0 * place, latency=Percentiles(p99_ms=latency))
        for place, latency in enumerate(latencies, start=1)
    ]
    assert [row.offered_qps for row in with_knee(rows) if row.knee] == [1000.0]
    refusing = [*rows[:8], *(replace(row, errors={"UNAVAILABLE": 200}) for row in rows[8:])]
    assert [row.offered_qps for row in with_knee(refusing) if row.knee] == [800.0]
