"""Batches for contrastive training: no caption twice, hard negatives together."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ..corpus.manifest import Clip


@dataclass(frozen=True)
class Batch:
    """Rows of the corpus and the caption drawn for each."""

    rows: tuple[int, ...]
    captions: tuple[str, ...]


def epoch_batches(
    clips: Sequence[Clip], batch_size: int, seed: int, epoch: int, *, together: int = 4
) -> Iterator[Batch]:
    """All full batches of one epoch; the same arguments give the same batches.

    Up to ``together`` clips of one group stand in one batch, where each is the others' hard negative. A clip whose
    caption is already in the batch would be a false negative: it waits for the next one.
    """
    rng = np.random.default_rng((seed, epoch))
    queue = deque(row for run in _runs(clips, rng, together) for row in run)
    while True:
        rows: dict[str, int] = {}
        skipped: list[int] = []
        while queue and len(rows) < batch_size:
            row = queue.popleft()
            if rows.setdefault(str(rng.choice(clips[row].captions)), row) != row:
                skipped.append(row)
        if len(rows) < batch_size:
            return
        queue.extendleft(reversed(skipped))
        yield Batch(tuple(rows.values()), tuple(rows))


def _runs(clips: Sequence[Clip], rng: np.random.Generator, together: int) -> list[list[int]]:
    groups: dict[str, list[int]] = {}
    for row in rng.permutation(len(clips)).tolist():
        name = clips[row].group
        groups.setdefault(f"\0{row}" if name is None else name, []).append(row)
    runs = [rows[i : i + together] for rows in groups.values() for i in range(0, len(rows), together)]
    return [runs[i] for i in rng.permutation(len(runs)).tolist()]
