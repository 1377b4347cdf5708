"""What a long run or an overload is judged by: trends of memory, recovery, and verdicts."""

from __future__ import annotations

import numpy as np
import pytest

from framesift.bench.load import overload, soak
from framesift.bench.load.figures import answers
from framesift.bench.load.jobs import Report
from framesift.bench.load.memory import trends
from framesift.bench.load.overload import recovery
from framesift.bench.load.target import Target
from framesift.bench.load.trend import slope
from framesift.bench.schema.load import Trend, Window

from .reports import report, window

TARGET = Target("127.0.0.1:1", None, None, "m", 1)


@pytest.mark.parametrize("true", [0.0, 0.05, -0.03])
def test_the_interval_of_a_slope_holds_the_true_one(true: float) -> None:
    rng = np.random.default_rng(11)
    times = np.arange(300.0)
    inside = 0
    for _ in range(60):
        # What wavers slowly, as memory does.
        noise = np.zeros(300)
        for at in range(1, 300):
            noise[at] = 0.8 * noise[at - 1] + rng.normal()
        found = slope(times, true * times + noise)
        inside += abs(found.value - true) <= found.margin
    # 57 of 60 are expected.
    assert inside >= 46


def test_growth_is_told_from_noise() -> None:
    rng = np.random.default_rng()
    times = np.arange(600.0)
    assert not slope(times, 0.01 * times + rng.normal(size=600)).within_noise
    assert slope(times, -0.01 * times + rng.normal(size=600)).within_noise


def sizes(grown: np.ndarray, base: float = 50.0) -> list[tuple[float, dict[str, float]]]:
    """One process that grows by so many megabytes and waves as allocators do, and one that stays as it is."""
    rng = np.random.default_rng(12)
    waves = np.zeros(len(grown))
    for at in range(1, len(grown)):
        waves[at] = 0.9 * waves[at - 1] + rng.normal(0, 0.08)
    return [(float(at), {"one": base + size, "other": 200.0}) for at, size in enumerate(grown + waves)]


def test_a_leak_of_a_kilobyte_an_answer_is_no_plateau() -> None:
    second = np.arange(135)
    filling = 20 * (1 - np.exp(-second / 8))
    for leak in (0.2, 0.05):
        found = trends(sizes(filling + leak * np.minimum(second, 120)))
        assert not found["one"].flat
        assert found["other"].flat
        assert found["one"].grown_mb > 60 * leak
    # As much in total as two minutes of the larger leak.
    full = trends(sizes(filling))
    assert full["one"].flat
    assert full["all"].flat
    assert full["one"].settling_mb > 15
    # Twenty bytes for each of 150 requests a second, for 20 minutes.
    assert not trends(sizes(0.003 * np.arange(1200)))["one"].flat


def test_what_is_given_back_is_no_growth() -> None:
    second = np.arange(1200)
    # Replaced videos pile up and are swept out, which takes a second copy of the gallery for a moment.
    peaks = np.where(second % 220 < 2, 50.0, 0.0)
    found = trends(sizes(1.5 * (second % 220) / 220 + peaks))
    assert found["one"].flat
    assert trends(sizes(peaks + 0.01 * second))["all"].flat is False
    assert trends(sizes(np.zeros(20))) == {}


def memory(flat: bool) -> dict[str, Trend]:
    found = Trend(0.0, 0.0, grown_mb=0.2 if flat else 7.0, first_mb=50.0, settling_mb=0.0, flat=flat)
    return {"one": found, "all": found}


def soaked(made: Report, work: str) -> Window:
    found = vars(answers(made, 3.0))
    return window(**found, work=work, refused_at_first=int(made.refused_at_first.sum()))


def test_the_soak_tells_of_refusals_that_were_made_good() -> None:
    patient = report([0, 1, 2], [0.1, 0.4, 0.1], [0, 0, 0], retried=1)
    assert patient.refused_at_first.all()
    rows = [soaked(made, "search") for made in (patient, report([0, 1], [0.1, 0.1], [0, 0]))]
    found = soak.verdict(TARGET, rows, memory(True))
    assert found.refused_at_first == 3
    assert all(found.holds.values())
    lost = soaked(report([0], [3.0], [1], retried=6), "index")
    bad = soak.verdict(TARGET, [*rows, lost], memory(False))
    assert bad.holds == {"no error": False, "memory flat": False}
    assert "1 requests to index, 1 unanswered" in bad.because["no error"]
    assert bad.because["memory flat"].endswith("one +7.0 MB")


def test_recovery_is_the_first_quiet_second() -> None:
    due = np.arange(0, 10, 0.05)
    # Refusals until 2 s, and slow answers until 3 s.
    latencies = np.where(due < 3, 1.0, 0.01)
    after = report(list(due), list(latencies), list(np.where(due < 2, 1, 0)))
    assert recovery(after, 100.0) == pytest.approx(3.0, abs=0.11)
    assert recovery(report([0, 1, 2], [1, 1, 1], [0, 0, 0]), 100.0) is None


def test_the_verdict_on_an_overload() -> None:
    due = list(np.arange(0, 4, 0.1))
    over = report(due, [0.02] * 20 + [0.002] * 20, [0] * 20 + [1] * 20)
    after = report(due, [0.02] * 40, [0] * 40)
    found = overload.verdict(TARGET, over, after, 10.0, memory(True), reached=True)
    assert found.refused_share == 0.5
    assert found.accepted_times_80 == pytest.approx(2.0)
    assert found.recovery_s == 0.0
    assert all(found.holds.values())
    assert found.because.keys() == found.holds.keys()
    slow = report(due, [0.04] * 20 + [0.5] * 20, [0] * 20 + [1] * 20)
    late = overload.verdict(TARGET, slow, over, 10.0, memory(False), reached=True)
    assert not any(held for name, held in late.holds.items() if not name.startswith(("recovered", "refused as")))
