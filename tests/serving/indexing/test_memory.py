"""What workers take at most is said before they begin, and holds for the largest videos that are permitted."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
import pytest

from ...bundle.mp4_files import box
from ..films import write_film
from .conftest import Run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

_BYTES, _COUNT, _LOOK_S = 8 << 20, 6, 0.02
LIMITS = ("--video-limit", f"bytes={_BYTES}", "--video-limit", "memory=128M", "--video-limit", "pixels=2073600")


@pytest.fixture
def largest(tmp_path: Path) -> Path:
    """Films whose files have as many bytes as are permitted, and whose pictures as many pixels."""
    folder, random = tmp_path / "largest", np.random.default_rng(0)
    folder.mkdir()
    write_film(folder / "0.mp4", [[random.integers(0, 255, (1080, 1920, 3), np.uint8) for _ in range(8)]], crf=40)
    film = (folder / "0.mp4").read_bytes()
    assert len(film) < _BYTES - 8
    # Room that players leave out.
    whole = film + box(b"free", bytes(_BYTES - len(film) - 8))
    for place in range(_COUNT):
        # Each is a film of its own.
        (folder / f"{place}.mp4").write_bytes(whole[:-1] + bytes([place]))
    assert {path.stat().st_size for path in folder.iterdir()} == {_BYTES}
    return folder


@contextmanager
def watched(known: str) -> Iterator[dict[int, int]]:
    """The most bytes that each process whose command line says ``known`` holds, with what it started, meanwhile."""
    here, peaks, over = psutil.Process(), dict[int, int](), threading.Event()

    def watch() -> None:
        while not over.is_set():
            for child in here.children(recursive=True):
                try:
                    if known in " ".join(child.cmdline()):
                        family = [child, *child.children(recursive=True)]
                        held = sum(one.memory_full_info().pss for one in family)
                        peaks[child.pid] = max(peaks.get(child.pid, 0), held)
                except psutil.Error:
                    continue
            time.sleep(_LOOK_S)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield peaks
    finally:
        over.set()
        thread.join()


@pytest.mark.parametrize(
    ("how", "known"), [((), "process_main"), (("--ray", "local"), "ray::VideoActor")], ids=["here", "ray"]
)
def test_no_worker_takes_more_than_was_said(index: Run, largest: Path, how: tuple[str, ...], known: str) -> None:
    with watched(known) as peaks:
        run = index("largest", *LIMITS, *how)
    assert run.stdout.splitlines()[-1] == f"{_COUNT} indexed, 0 skipped, 0 failed", run.stderr
    said = re.search(r"^(\d) (?:processes|actors of Ray), each with at most ([\d.]+) GiB of memory$", run.stderr, re.M)
    assert said is not None, run.stderr
    assert int(said[1]) == 2
    # The other one may come when all is done.
    assert peaks
    # A file twice is the least that was to be seen beside an idle worker.
    assert 2 * _BYTES + 64 * 2**20 < max(peaks.values()) <= float(said[2]) * 2**30


def test_a_larger_one_is_refused_by_its_limit(index: Run, largest: Path) -> None:
    with (largest / "0.mp4").open("ab") as film:
        film.write(b"\0")
    run = index("largest", *LIMITS)
    assert run.stdout == f"{_COUNT - 1} indexed, 0 skipped, 1 failed\n"
    assert "--video-limit bytes=" in run.stderr
