"""What a gallery of N videos takes, beside the same things at a size where they are small."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ...export.bundle.manifest import Manifest
from ...export.bundle.storage_names import Storage
from ...serving.gallery.blocks import Block
from ...serving.gallery.bulk import bring_in
from ...serving.gallery.known import WORTH
from ...serving.gallery.schema import GallerySchema
from ...serving.gallery.sources import Records
from ...serving.gallery.store import CACHE, Gallery
from ...serving.search.snapshot import Snapshot
from ..schema.rows import GalleryFigure
from . import records
from .beside import beside
from .bound import VIOLATIONS, violations
from .coarse import coarse
from .promises import figure
from .records import manifest
from .replaced import replaced
from .scanned import scanned
from .storages import compared, opened
from .world import Films

# Records that are added one by one; ids beyond any gallery's.
_ADDED, _FIRST = 41, 100_000_000
_SMALL = 10_000
_LOOKED_UP, _LOOKUPS = 4096, 15
_FILE = 50_000
# Of the bound, for each video.
_PAIRS = 10

Told = Callable[[str], object]
MakeBlock = Callable[[int, int, GallerySchema], Block]


def figures(
    folder: Path,
    videos: int,
    told: Told,
    storage: Storage = "float16",
    films: Films = "clusters",
    *,
    averaged: bool = False,
    replacements: int | None = None,
) -> Iterator[GalleryFigure]:
    """Every figure, as soon as it is there. ``folder`` must not be there, and gets the gallery and its source.

    Args:
        averaged: also those of a coarse stage.
        replacements: how many videos are replaced for the disk's figures, see ``replaced``.
    """
    schema = GallerySchema.of(manifest())
    block, _figure = partial(records.block, films), partial(figure, videos, storage, films)
    folder.mkdir(parents=True)
    with Gallery.made(folder / "small", schema) as small, Gallery.made(folder / "gallery", schema) as gallery:
        small.bring(block(0, _SMALL, schema), replace=False)
        small.index()
        seconds, processor = _imported(gallery, films, videos, folder, told)
        yield _figure("import, records a second", videos / seconds)
        yield _figure("import, records a processor second", videos / processor)
        told("commits and look-ups")
        yield _figure("commit of a new record, times one at 10,000", _commits(small, gallery, block))
        yield _figure("lookup of 4,096 ids, times one at 10,000", _lookups(small, gallery, videos))
        told("restarts")
        for name, value in _restarts(folder / "gallery", storage, films):
            yield _figure(name, value)
        told("freshness")
        for name, value in _freshness(gallery, manifest(storage), block):
            yield _figure(name, value)
        told("searches beside reading")
        for name, value in scanned(gallery, manifest(storage), films, videos, told):
            yield _figure(name, value)
        if storage == "int8":
            told("searches in both storages")
            for name, value in compared(gallery, manifest(storage), films, videos):
                yield _figure(name, value)
            told("pairs of the bound")
            yield _figure(VIOLATIONS, violations(_PAIRS * videos, told))
        if averaged:
            told("searches with a coarse stage")
            for name, value in coarse(gallery, films, videos, told):
                yield _figure(name, value)
        told("searches beside a writer")
        for name, value in beside(gallery, manifest(storage), films, videos, told):
            yield _figure(name, value)
        told("replacements")
        for name, value in replaced(gallery, films, videos, replacements, told):
            yield _figure(name, value)
    shutil.rmtree(folder)


def _imported(gallery: Gallery, films: Films, videos: int, folder: Path, told: Told) -> tuple[float, float]:
    """Seconds, and those of the processor, of the import alone; its files come one by one, because all are large."""
    seconds = processor = 0.0
    for start in range(0, videos, _FILE):
        told(f"records {start} to {min(videos, start + _FILE)}")
        file = folder / "records.parquet"
        records.write(file, films, start, min(_FILE, videos - start), gallery.schema)
        begun, spent = time.perf_counter(), time.process_time()
        bring_in(gallery, Records.open(file), lambda rows: None)
        seconds += time.perf_counter() - begun
        processor += time.process_time() - spent
        file.unlink()
    return seconds, processor


def _commits(small: Gallery, gallery: Gallery, block: MakeBlock) -> float:
    """The ratio of the medians of processor time of commits, which take turns: the disk's waits are not the size's."""
    spent: tuple[list[float], list[float]] = ([], [])
    for number in range(_ADDED):
        made = block(_FIRST + number, 1, gallery.schema)
        for each, at in zip((small, gallery), spent, strict=True):
            at.append(_processor(partial(each.bring, made, replace=False)))
            # Upkeep goes on beside many commits, and is no part of one.
            each.close()
    return float(np.median(spent[1]) / np.median(spent[0]))


def _lookups(small: Gallery, gallery: Gallery, videos: int) -> float:
    """The ratio of the medians of look-ups, after so many that ids are held in memory."""
    spent: tuple[list[float], list[float]] = ([], [])
    before = videos // (WORTH * _LOOKED_UP) + 1
    for seed in range(before + _LOOKUPS):
        for each, count, at in zip((small, gallery), (_SMALL, videos), spent, strict=True):
            numbers = np.random.default_rng(seed).choice(count, _LOOKED_UP, replace=False)
            ids = [records.id_of(number) for number in numbers.tolist()]
            at.append(_processor(partial(each.lookup, ids)))
    return float(np.median(spent[1][before:]) / np.median(spent[0][before:]))


def _processor(act: Callable[[], Any]) -> float:
    begun = time.process_time()
    act()
    return time.process_time() - begun


def _restarts(folder: Path, storage: Storage, films: Films) -> Iterator[tuple[str, float]]:
    shutil.rmtree(folder / CACHE, ignore_errors=True)
    told = _restart(folder, storage, films, wait=True)
    yield "first answer without a cache, s", told["answer_s"]
    # What Lance holds while it reads is the same for galleries of all sizes.
    yield "memory at load, times resident and 128 MiB", told["peak"] / (told["resident"] + (128 << 20))
    told = _restart(folder, storage, films, wait=False)
    yield "first answer with a warm cache, s", told["answer_s"]


def _restart(folder: Path, storage: Storage, films: Films, *, wait: bool) -> dict[str, Any]:
    """What a process of its own says; with ``wait`` its cache is in place when it ends."""
    command = [sys.executable, "-m", "framesift.bench.gallery.restart", str(folder), storage, films]
    # As the server starts its models.
    env = {**os.environ, "MALLOC_ARENA_MAX": "1", "OPENBLAS_NUM_THREADS": "1"}
    with subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        told: dict[str, Any] = json.loads(process.stdout.readline())
        # Small galleries have none.
        while wait and list((folder / CACHE).glob("*.part")):
            time.sleep(0.05)
        process.stdin.write("\n")
    return told


def _freshness(gallery: Gallery, model: Manifest, block: MakeBlock) -> Iterator[tuple[str, float]]:
    added, removed = [], []
    with opened(gallery, model) as snapshot:
        snapshot.start()
        for number in range(10):
            made: Block = block(_FIRST + 1000 + number, 1, gallery.schema)
            gallery.bring(made, replace=False)
            added.append(_seen(snapshot, gallery.version))
            gallery.remove([block(_FIRST + number, 1, gallery.schema).ids[0]])
            removed.append(_seen(snapshot, gallery.version))
    yield "new video searchable, s", max(added)
    yield "removal seen, s", max(removed)


def _seen(snapshot: Snapshot, version: int) -> float:
    begun = time.perf_counter()
    while snapshot.view.version < version:
        time.sleep(0.002)
    return time.perf_counter() - begun
