"""Video files to index: a user's folder, or generated clips as real H.264."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from ...export.bundle.errors import InvalidInput
from ...export.corpus.generate import KINDS, stories, write_video
from ...serving.client.discover import discover

COUNT = 48


def generate(folder: Path, count: int = COUNT, seed: int = 0, *, done: Callable[[int], object] = int) -> list[Path]:
    """Write ``count`` distinct clips of two to three and a half seconds; ``done`` is called with 1 after each."""
    kind = KINDS["motion"]
    paths = []
    for number, story in enumerate(stories(kind, count, "train", seed, variants=1)):
        path = folder / f"clip-{number:04d}.mp4"
        write_video(path, kind.draw(story, np.random.default_rng((seed, number))))
        paths.append(path)
        done(1)
    return paths


def find(folder: Path) -> list[Path]:
    """The video files in ``folder`` and below.

    Raises:
        InvalidInput: there is none.
    """
    found = [file.path for file in discover([str(folder)])]
    if not found:
        raise InvalidInput(f"there is no video in {folder}")
    return found
