"""A gallery of any size for benchmarks, on disk or in memory."""

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

from ...export.build import eager_system
from ...export.bundle.scorers import scorer_of
from ...export.bundle.spec import TensorSpec
from ...export.bundle.store import MANIFEST, Bundle, sha256
from ...serving.gallery.rows import GalleryEntry
from ...serving.gallery.schema import FORMAT
from ...serving.gallery.store import Gallery
from ...serving.search.columns import Columns
from ...serving.search.view import View
from .videos import BLOCK, Arrays, videos

_SECONDS = 3.0


def cache_folder() -> Path:
    """Where galleries are kept between runs, unless the user names a folder."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "framesift" / "bench"


def synthetic(bundle: Bundle, size: int, cache: Path | None = None) -> Path:
    """The folder of a gallery of ``size`` videos of the bundle's own model; made at the first call.

    Raises:
        GalleryError: it can't be written.
    """
    folder = (cache or cache_folder()) / f"{sha256(bundle.root / MANIFEST)[:16]}-{FORMAT}-{size}"
    if folder.is_dir():
        return folder
    part = folder.with_name(f".{folder.name}-{os.getpid()}")
    try:
        click.echo(f"clips for a gallery of {size} videos", err=True)
        records = (some.record for some in videos(bundle, eager_system(bundle).eval(), size))
        with click.progressbar(
            records, length=math.ceil(size / BLOCK), label=f"a gallery of {size} videos", file=sys.stderr
        ) as blocks:
            write(bundle, part, blocks)
        part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return folder


def write(bundle: Bundle, folder: Path, blocks: Iterable[Arrays]) -> None:
    """Add records [B, ...], block after block, to the gallery in ``folder``; see ``video_id`` for their ids.

    Raises:
        GalleryError: it can't be written.
    """
    numbers = count()
    with Gallery.open(folder, bundle.manifest) as gallery:
        times = gallery.schema.frames
        for block in blocks:
            rows = range(len(next(iter(block.values()))))
            gallery.add([_entry(next(numbers), {name: x[row] for name, x in block.items()}, times) for row in rows])


def video_id(number: int) -> str:
    """The id of a gallery's video; numbers count from 0 in the order of adding."""
    return f"bench-{number:07d}.mp4"


def in_memory(bundle: Bundle, record: Arrays, specs: Sequence[TensorSpec]) -> View:
    """A view of a gallery of records [N, ...] as a search has it, of the tensors and dtypes of ``specs``."""
    columns = Columns(specs, scorer_of(bundle.manifest).lanes)
    columns.append(record)
    rows = columns.rows
    times = np.zeros((rows, bundle.manifest.frame_count), np.float32)
    return View(0, rows, [video_id(row) for row in range(rows)], columns.views(), times, np.empty(0, np.intp))


def _entry(number: int, tensors: Arrays, times: int) -> GalleryEntry:
    name = video_id(number)
    digest = hashlib.sha256(name.encode()).digest()
    return GalleryEntry(name, dict(tensors), np.linspace(0, _SECONDS, times), _SECONDS, digest, name)
