"""Indexing by processes and by Ray, measured: both index everything, and what a video takes is what one more takes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from framesift.bench.indexing.measure import WAYS, measured
from framesift.bench.indexing.spent import spent
from framesift.export.bundle.store import Bundle

# Its child goes on when it has ended.
_BURN = "import time\nend = time.process_time() + {seconds}\nwhile time.process_time() < end: pass\n"
_LEAVES = "import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', sys.argv[1]], start_new_session=True)\n"

# It never waits for its child, as Ray's raylet does not.
_IGNORES = (
    "import os, signal, subprocess, sys, time\nsignal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"
    "child = subprocess.Popen([sys.executable, '-c', sys.argv[1]]).pid\n"
    "while os.path.exists(f'/proc/{child}'): time.sleep(0.01)\n"
)


def test_processor_seconds_of_what_a_command_leaves_behind_count() -> None:
    took = spent([sys.executable, "-c", _LEAVES, _BURN.format(seconds=1.0)])
    assert took.cpu_s >= 1.0
    alone = spent([sys.executable, "-c", _BURN.format(seconds=2.0)])
    # Python's start is not free, and nothing is counted twice.
    assert 2.0 <= alone.cpu_s < 4.0
    assert alone.wall_s >= 2.0
    with pytest.raises(RuntimeError, match="failed: .*no such thing"):
        spent([sys.executable, "-c", "raise SystemExit('no such thing')"])


def test_processor_seconds_of_what_nobody_waits_for_count() -> None:
    took = spent([sys.executable, "-c", _IGNORES, _BURN.format(seconds=4.0)])
    # But for those since the last look, which a busy machine puts off.
    assert 1.5 <= took.cpu_s < 6.5


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_both_ways_are_measured(bundle: Bundle, tmp_path: Path) -> None:
    lines: list[str] = []
    rows = measured(bundle, "demo", 200, 2, 1, tmp_path, lines.append)
    assert [row.way for row in rows] == [*WAYS]
    assert rows[0].ratio == rows[0].cpu_ratio == 1
    for row in rows:
        assert (row.videos, row.workers, row.rounds) == (200, 2, 1)
        assert row.start_cpu_s > 0
        assert row.video_cpu_s > 0
    assert len(lines) == 4
    assert not (tmp_path / "indexing-gallery").exists()
