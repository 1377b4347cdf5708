"""Where shots begin: where one scene follows another, and nowhere within one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from framesift.export.bundle.errors import InvalidVideo
from framesift.export.bundle.video.limits import DEFAULT_LIMITS, VideoLimits
from framesift.export.bundle.video.sandbox import Sandbox
from framesift.export.bundle.video.shots import find_shots
from framesift.export.bundle.video.work import Work

from ..serving.films import write_film


def scene(count: int, base: int) -> list[np.ndarray]:
    """A bar that moves over a ground of one colour, a little lighter with each picture."""
    found = []
    for number in range(count):
        picture = np.full((64, 96, 3), min(255, base + number // 2), np.uint8)
        picture[:, (3 * number) % 90 : (3 * number) % 90 + 6] = 255 - base
        found.append(picture)
    return found


@pytest.fixture
def film(tmp_path: Path) -> tuple[Path, list[float]]:
    path = tmp_path / "film.mp4"
    return path, write_film(path, [scene(20, 30), scene(30, 190), scene(25, 100), scene(40, 10)])


def test_shots_begin_where_scenes_do(film: tuple[Path, list[float]]) -> None:
    path, begins = film
    found = find_shots(path, 0.2, Work(DEFAULT_LIMITS))
    assert found.starts == pytest.approx(begins[1:-1], abs=1e-6)
    assert found.duration == pytest.approx(begins[-1], abs=1e-6)
    # From 30 to 190 is more than 90, from 190 to 100 and from 100 to 10 is not.
    assert find_shots(path, 0.95, Work(DEFAULT_LIMITS)).starts == pytest.approx(begins[1:2], abs=1e-6)
    with Sandbox() as sandbox:
        assert sandbox.shots(path, 0.2) == found
        assert sandbox.shots(path.read_bytes(), 0.2) == found


def test_what_can_t_be_read_is_refused(film: tuple[Path, list[float]]) -> None:
    with Sandbox(VideoLimits(max_seconds=3600, max_packets=50)) as sandbox:
        with pytest.raises(InvalidVideo, match="the limit is 50"):
            sandbox.shots(film[0], 0.2)
        with pytest.raises(InvalidVideo, match="these are read"):
            sandbox.shots(b"no film" * 100, 0.2)
