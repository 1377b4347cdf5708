"""Arithmetic of galleries beyond one machine: against bytes of real arrays and a simulation written another way."""

from __future__ import annotations

import numpy as np
import pytest
from click.testing import CliRunner

from framesift.__main__ import main
from framesift.bench.report.results import Results
from framesift.bench.scale.machines import EXACT, SHAPE, Scan, stored_bytes
from framesift.bench.scale.tables import indexing, sizes, tail
from framesift.bench.scale.tail import drawn, simulate
from framesift.bench.schema.files import RESULTS
from framesift.bench.schema.load import Percentiles

MEASURED = Percentiles(p50_ms=10.0, p95_ms=20.0, p99_ms=40.0, p999_ms=80.0, max_ms=160.0)


def test_bytes_are_those_of_arrays() -> None:
    frames = np.zeros((SHAPE.frames, SHAPE.width), np.float16)
    # Three symmetric forms and three vectors over the frames' weights.
    table = np.zeros(3 * (SHAPE.frames * (SHAPE.frames + 1) // 2 + SHAPE.frames), np.float32)
    assert stored_bytes()[EXACT] == frames.nbytes + table.nbytes == 13_368


def test_machines_hold_their_part_and_read_it_in_time() -> None:
    scan = Scan("x", 1e9, 10 << 30, True)
    for videos, within in ((10**6, 0.5), (10**6, 1e9), (3, 0.5), (10**8, 2.0)):
        count = scan.machines(videos, 1000, within)
        part = -(-videos // count)
        assert part <= scan.holds(1000)
        assert scan.seconds(part, 1000) <= within
        if count > 1:
            # One machine fewer is too few.
            more = -(-videos // (count - 1))
            assert more > scan.holds(1000) or scan.seconds(more, 1000) > within


def test_what_is_drawn_has_the_percentiles_that_were_measured() -> None:
    one = drawn(MEASURED, 1_000_000)
    found = np.percentile(one, [50, 95, 99, 99.9, 100])
    assert found == pytest.approx([10, 20, 40, 80, 160], rel=0.03)
    # Ten requests have told nothing of one in a thousand.
    assert drawn(MEASURED, 10).max() == pytest.approx(160, rel=1e-6)


def test_the_latest_of_many_is_found_as_by_drawing_every_shard() -> None:
    one = drawn(MEASURED, 100_000)
    random = np.random.default_rng(7)
    for shards in (1, 4, 50):
        found = simulate(shards, one)
        every = random.choice(one, (40_000, shards))
        assert found.p50_ms == pytest.approx(np.median(every.max(axis=1)), rel=0.03)
        assert found.p99_ms == pytest.approx(np.percentile(every.max(axis=1), 99), rel=0.06)
        late = every > found.deadline_ms
        assert found.missing == pytest.approx(late.any(axis=1).mean(), abs=0.01)
        if late.any():
            assert found.lacking == pytest.approx(late.mean(axis=1)[late.any(axis=1)].mean(), rel=0.05)
        hedge = np.percentile(one, 95)
        again = np.minimum(every, hedge + random.choice(one, every.shape))
        latest = np.where(every > hedge, again, every).max(axis=1)
        assert found.hedged_p99_ms == pytest.approx(np.percentile(latest, 99), rel=0.06)
        assert found.hedged_p99_ms <= found.p99_ms * 1.05


def test_it_says_the_same_every_time_and_nothing_without_rows(tmp_path) -> None:
    for table in (sizes, indexing, tail):
        assert table(Results(RESULTS)) == table(Results(RESULTS)) is not None
        assert table(Results(tmp_path)) is None
    shown = CliRunner().invoke(main, ["bench", "scale", "--results", str(tmp_path)])
    assert shown.output.count("Not measured yet.") == 3
