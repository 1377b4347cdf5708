"""A gallery of any size for benchmarks, made once for each bundle."""

from __future__ import annotations

import hashlib
import math
import os
import shutil
import sys
from collections.abc import Iterable, Sequence
from itertools import count
from pathlib import Path

import click
import numpy as np

from ...export.bundle.store import MANIFEST, Bundle, sha256
from ...serving.gallery.rows import GalleryEntry
from ...serving.gallery.store import Gallery
from .records import BATCH, Record, records

# A commit costs the same for one record as for thousands, and holds all of its own in memory.
_PER_COMMIT = 2000
_SECONDS = 3.0


def cache_folder() -> Path:
    """Where galleries are kept between runs, unless the user names a folder."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "framesift" / "bench"


def synthetic(bundle: Bundle, videos: int, cache: Path | None = None) -> Path:
    """The folder of a gallery of ``videos`` records by the bundle's own model; made at the first call.

    Raises:
        GalleryError: it can't be written.
    """
    folder = (cache or cache_folder()) / f"{sha256(bundle.root / MANIFEST)[:16]}-{videos}"
    if folder.is_dir():
        return folder
    part = folder.with_name(f".{folder.name}-{os.getpid()}")
    try:
        fill(bundle, part, videos)
        part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return folder


def fill(bundle: Bundle, folder: Path, videos: int) -> None:
    """Write ``videos`` records into the gallery in ``folder``, with a progress bar on standard error."""
    click.echo(f"frames for a gallery of {videos} videos", err=True)
    label = f"a gallery of {videos} videos"
    with click.progressbar(
        records(bundle, videos), length=math.ceil(videos / BATCH), label=label, file=sys.stderr
    ) as batches:
        write(bundle, folder, batches)


def write(bundle: Bundle, folder: Path, batches: Iterable[Sequence[Record]]) -> None:
    """Add the records of ``batches``, one after another, to the gallery in ``folder``; see ``video_id`` for their ids.

    Raises:
        GalleryError: it can't be written.
    """
    frames, numbers = bundle.manifest.frames.count, count()
    waiting: list[GalleryEntry] = []
    with Gallery.open(folder, bundle.manifest) as gallery:
        for batch in batches:
            waiting += [_entry(next(numbers), tensors, frames) for tensors in batch]
            if len(waiting) >= _PER_COMMIT:
                gallery.add(waiting)
                waiting = []
        if waiting:
            gallery.add(waiting)


def video_id(number: int) -> str:
    """The id of a gallery's video; numbers count from 0 in the order of adding."""
    return f"bench-{number:07d}.mp4"


def _entry(number: int, tensors: Record, frames: int) -> GalleryEntry:
    name = video_id(number)
    return GalleryEntry(
        name, tensors, np.linspace(0, _SECONDS, frames), _SECONDS, hashlib.sha256(name.encode()).digest(), name
    )
