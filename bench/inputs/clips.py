"""Video files to index: a user's folder, or generated clips as real H.264."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ...export.bundle.errors import InvalidInput
from ...export.corpus.generate import write_corpus
from ...serving.client.discover import discover

COUNT = 48


def generate(folder: Path, count: int = COUNT, seed: int = 0, *, done: Callable[[int], object] = int) -> list[Path]:
    """Write ``count`` distinct clips of two to three and a half seconds; ``done`` is called with how many are new."""
    return [clip.video for clip in write_corpus(folder, count, "test", seed, done=done)]


def find(folder: Path) -> list[Path]:
    """The video files in ``folder`` and below.

    Raises:
        InvalidInput: there is none.
    """
    found = [file.path for file in discover([str(folder)]).videos]
    if not found:
        raise InvalidInput(f"there is no video in {folder}")
    return found
