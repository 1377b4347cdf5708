"""Writing the shapes corpus as real H.264 files with a manifest."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from ..bundle.errors import InvalidInput
from .manifest import Clip, write_manifest
from .shapes import FRAME_RATE, Split, Story, caption, group, hard_negative, random_story, render
from .stills import random_still, rearranged, render_still, still_caption

MANIFEST = "manifest.jsonl"


@dataclass(frozen=True)
class Kind:
    """How the stories of one kind of corpus are made, captioned and drawn."""

    invent: Callable[[np.random.Generator, Split], Story]
    vary: Callable[[np.random.Generator, Story], Story]
    tell: Callable[[Story], str]
    draw: Callable[[Story, np.random.Generator], NDArray[np.uint8]]


KINDS = {
    "motion": Kind(random_story, hard_negative, caption, render),
    "stills": Kind(random_still, rearranged, still_caption, render_still),
}


def stories(kind: Kind, count: int, split: Split, seed: int, *, variants: int) -> list[Story]:
    """``count`` stories with distinct captions, in runs of ``variants`` hard negatives of one another.

    Raises:
        InvalidInput: the split has not that many captions.
    """
    rng = np.random.default_rng((seed, ("train", "test").index(split)))
    chosen: dict[str, Story] = {}
    misses = 0
    while len(chosen) < count:
        story = kind.invent(rng, split)
        for _ in range(variants):
            before = len(chosen)
            if before < count:
                chosen.setdefault(kind.tell(story), story)
            misses = 0 if len(chosen) > before else misses + 1
            story = kind.vary(rng, story)
        if misses > 300:
            raise InvalidInput(f"the {split} split has only about {len(chosen)} captions, {count} were asked for")
    return list(chosen.values())


def write_corpus(
    folder: Path,
    count: int,
    split: Split,
    seed: int,
    *,
    kind: str = "motion",
    variants: int = 2,
    done: Callable[[int], object] = int,
) -> list[Clip]:
    """Write ``count`` clips and their manifest into ``folder``; the same arguments give the same clips.

    Args:
        kind: one of ``KINDS``.
        variants: how many hard negatives of one another come in a run.
        done: called with the number of clips finished since the last call.

    Raises:
        InvalidInput: the split has not that many captions.
    """
    folder.mkdir(parents=True, exist_ok=True)
    how = KINDS[kind]
    chosen = stories(how, count, split, seed, variants=variants)
    clips = [Clip(folder / f"{split}-{i:05d}.mp4", (how.tell(s),), group(s)) for i, s in enumerate(chosen)]
    jobs = [(kind, clip.video, story, (seed, i)) for i, (clip, story) in enumerate(zip(clips, chosen, strict=True))]
    with ProcessPoolExecutor(min(4, os.cpu_count() or 1), get_context("spawn")) as pool:
        for written in pool.map(_write_many, _chunks(jobs, 50)):
            done(written)
    write_manifest(folder / MANIFEST, clips)
    return clips


_Job = tuple[str, Path, Story, tuple[int, int]]


def _chunks(jobs: list[_Job], size: int) -> Iterator[list[_Job]]:
    for start in range(0, len(jobs), size):
        yield jobs[start : start + size]


def _write_many(jobs: list[_Job]) -> int:
    for kind, path, story, seed in jobs:
        write_video(path, KINDS[kind].draw(story, np.random.default_rng(seed)))
    return len(jobs)


def write_video(path: Path, frames: NDArray[np.uint8], *, rate: int = FRAME_RATE) -> None:
    """Encode RGB frames [N, H, W, 3] as H.264 in an mp4 file; H and W must be even."""
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=rate, options={"preset": "veryfast", "crf": "20"})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
