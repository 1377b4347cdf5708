"""Runs of ``framesift index`` over one manifest, with processes and with Ray's actors by turns."""

from __future__ import annotations

import json
import shutil
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ...export.bundle.store import Bundle
from ..inputs import clips
from ..schema.rows import Indexing
from .spent import Spent, spent

Way = Literal["processes", "ray"]
PROCESSES: Way = "processes"
RAY: Way = "ray"
WAYS = (PROCESSES, RAY)
# The shorter run has such a part of the videos: enough for every worker to have started in it, as in the longer one.
_PART = 4
_TRIES = 5


@dataclass(frozen=True)
class _Line:
    """What one video more takes, and what a run takes before its first: the line through two runs."""

    each: Spent
    start: Spent

    @classmethod
    def through(cls, few: tuple[int, Spent], all_: tuple[int, Spent]) -> _Line:
        (count, less), (more, most) = few, all_
        wall_s, cpu_s = ((b - a) / (more - count) for a, b in ((less.wall_s, most.wall_s), (less.cpu_s, most.cpu_s)))
        return cls(Spent(wall_s, cpu_s), Spent(less.wall_s - count * wall_s, less.cpu_s - count * cpu_s))


def measured(
    bundle: Bundle, model: str, videos: int, workers: int, rounds: int, work: Path, told: Callable[[str], object]
) -> list[Indexing]:
    """A row for each way. ``work`` gets clips, manifests and galleries, of which the latter are removed again.

    Raises:
        RuntimeError: a run fails.
    """
    found = clips.generate(work / "indexing-clips")
    counts = (videos // _PART, videos)
    lists = [_manifest(work / f"indexing-{count}.jsonl", found, count) for count in counts]
    gallery = work / "indexing-gallery"

    def run(way: Way, manifest: Path) -> Spent:
        shutil.rmtree(gallery, ignore_errors=True)
        options = ["--bundle", bundle.root, "--gallery", gallery, "--jobs", workers, "--no-cache"]
        options += ["--ray", "local"] if way == RAY else []
        for left in reversed(range(_TRIES)):
            try:
                return spent([sys.executable, "-m", "framesift", "index", *map(str, [manifest, *options])])
            except RuntimeError as error:
                # Ray gives a cluster half a minute to start, which a busy machine may not be done in.
                if not left:
                    raise
                told(str(error).splitlines()[-1])
            finally:
                shutil.rmtree(gallery, ignore_errors=True)
        raise AssertionError("a try returns or raises")

    spends: dict[Way, list[_Line]] = {way: [] for way in WAYS}
    for number in range(rounds):
        # Who goes first has the quieter machine as often as the other.
        for way in WAYS if number % 2 == 0 else reversed(WAYS):
            runs = [run(way, manifest) for manifest in lists]
            spends[way].append(_Line.through(*zip(counts, runs, strict=True)))
            for count, one in zip(counts, runs, strict=True):
                told(f"round {number + 1}: {way}: {count} videos: {one.wall_s:.1f} s, {one.cpu_s:.1f} s of processors")
    return [_row(way, spends, model, videos, workers) for way in WAYS]


def _manifest(path: Path, found: Sequence[Path], count: int) -> Path:
    """A list of so many videos: the same few files under ids of their own."""
    places = (found[number % len(found)].absolute() for number in range(count))
    lines = [json.dumps({"path": str(place), "id": f"{number}"}) for number, place in enumerate(places)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _row(way: Way, spends: dict[Way, list[_Line]], model: str, videos: int, workers: int) -> Indexing:
    here = spends[way]
    pairs = list(zip(here, spends[PROCESSES], strict=True))
    return Indexing(
        way=way,
        model=model,
        videos=videos,
        workers=workers,
        rounds=len(here),
        video_s=round(statistics.median(line.each.wall_s for line in here), 5),
        video_cpu_s=round(statistics.median(line.each.cpu_s for line in here), 5),
        start_s=round(statistics.median(line.start.wall_s for line in here), 2),
        start_cpu_s=round(statistics.median(line.start.cpu_s for line in here), 2),
        ratio=round(statistics.median(other.each.wall_s / own.each.wall_s for own, other in pairs), 3),
        cpu_ratio=round(statistics.median(other.each.cpu_s / own.each.cpu_s for own, other in pairs), 3),
    )
