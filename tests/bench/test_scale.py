"""Arithmetic of galleries beyond one machine: against bytes of real arrays and a simulation written another way."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from framesift.__main__ import main
from framesift.bench.gallery.figures import COARSE_FASTER, FASTER
from framesift.bench.gallery.promises import figure
from framesift.bench.report.results import Results
from framesift.bench.scale.machines import CERTIFIED, SHAPE, Kept, Scan, exact_bytes, ways
from framesift.bench.scale.tables import by_ray, indexing, sizes, tail
from framesift.bench.scale.tail import drawn, simulate
from framesift.bench.schema.files import RESULTS, write
from framesift.bench.schema.load import Percentiles
from framesift.bench.schema.rows import Indexing

MEASURED = Percentiles(p50_ms=10.0, p95_ms=20.0, p99_ms=40.0, p999_ms=80.0, max_ms=160.0)


def test_bytes_are_those_of_arrays() -> None:
    frames = np.zeros((SHAPE.frames, SHAPE.width), np.float16)
    # Three symmetric forms and three vectors over the frames' weights.
    table = np.zeros(3 * (SHAPE.frames * (SHAPE.frames + 1) // 2 + SHAPE.frames), np.float32)
    assert exact_bytes() == frames.nbytes + table.nbytes == 13_368


def test_what_a_search_gains_is_what_the_largest_gallery_did() -> None:
    rows = [
        figure(videos, "int8", films, FASTER, value)
        for videos, films, value in ((10_000, "clusters", 1.4), (10**6, "clusters", 2.1), (10**6, "moments", 1.3))
    ]
    exact, certified = ways(rows)
    assert (certified.bytes, certified.faster) == (CERTIFIED, 2.1)
    coarse = ways([*rows, figure(10**5, "float16", "clusters", COARSE_FASTER, 6.0)])[2]
    # One average of the frames, and its table of three forms and three vectors over one weight.
    assert coarse.bytes == exact.bytes + 2 * SHAPE.width + 4 * 6
    scan = Scan("x", 1e9, 1 << 40)
    assert scan.seconds(1000, exact) == pytest.approx(6 * scan.seconds(1000, coarse))
    assert ways([]) == [exact]


def test_machines_hold_their_part_and_read_it_in_time() -> None:
    scan, kept = Scan("x", 1e9, 10 << 30), Kept("", 1000, faster=2.0)
    for videos, within in ((10**6, 0.5), (10**6, 1e9), (3, 0.5), (10**8, 2.0)):
        count = scan.machines(videos, kept, within)
        part = -(-videos // count)
        assert part <= scan.holds(kept)
        assert scan.seconds(part, kept) <= within
        if count > 1:
            # One machine fewer is too few.
            more = -(-videos // (count - 1))
            assert more > scan.holds(kept) or scan.seconds(more, kept) > within


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
    """What is simulated is the same as well, which `make types` compares with the document."""
    for table in (sizes, indexing):
        assert table(Results(RESULTS)) == table(Results(RESULTS)) is not None
    for table in (sizes, indexing, tail):
        assert table(Results(tmp_path)) is None
    shown = CliRunner().invoke(main, ["bench", "scale", "--results", str(tmp_path)])
    assert shown.output.count("Not measured yet.") == 4


def test_what_ray_adds_is_told_of_rows(tmp_path: Path) -> None:
    assert by_ray(Results(tmp_path)) is None
    same = {"model": "demo", "videos": 500, "workers": 2, "rounds": 2, "start_s": 2.5, "start_cpu_s": 3.0}
    rows = [
        Indexing(way="processes", video_s=0.008, video_cpu_s=0.0155, ratio=1.0, cpu_ratio=1.0, **same),
        Indexing(way="ray", video_s=0.0084, video_cpu_s=0.0165, ratio=0.95, cpu_ratio=0.94, **same),
    ]
    write("indexing", rows, tmp_path)
    _, processes, ray = by_ray(Results(tmp_path)) or []
    assert processes[1:6] == ["2 processes", "8.0 ms", "15.5 ms", "", ""]
    assert ray[1:6] == ["2 actors of Ray", "8.4 ms", "16.5 ms", "0.95", "0.94"]
