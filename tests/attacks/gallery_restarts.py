"""Imports, caches in the making and holders of the lease are killed: nothing is lost, and nobody waits for the dead."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from framesift.errors import FramesiftError
from framesift.serving.gallery import bulk, store
from framesift.serving.gallery.blocks import Block
from framesift.serving.gallery.lock import exclusive
from framesift.serving.gallery.rows import Row as GalleryRow
from framesift.serving.gallery.sources import Records
from framesift.serving.gallery.store import Gallery
from framesift.serving.search import loading
from framesift.serving.search.snapshot import Snapshot
from framesift.serving.search.view import View

from .gallery_kills import writers
from .gallery_rows import entry, manifest, numbers
from .gallery_tasks import CACHE, COMMIT, IMPORT, LEASE
from .requests import chance_of
from .table import Progress, Row

_RECORDS = 40
POINTS = ("file made", "bytes written", "fsync", "commit")
_TASKS = (IMPORT, CACHE, LEASE)
# A lease that a dead holder keeps is free after a minute or two.
_SOON_S = 20.0
# Others may have all processors.
_PATIENCE_S = 120.0


def attack(folder: Path, count: int, seed: int, progress: Progress) -> list[Row]:
    """So many kills, of one task after the other, each in a gallery of its own below ``folder``."""
    rows = {
        IMPORT: Row("killed imports: what was told to be in is there and whole, and the import goes on"),
        CACHE: Row("killed caches: a search finds what the table holds, and a file that was cut is not read"),
        LEASE: Row("killed holders: the lease says who they are, and is free when they are dead"),
    }
    run: dict[str, Callable[..., str]] = {IMPORT: _import, CACHE: _cache, LEASE: _lease}
    with writers() as kill:
        for number in range(count):
            task = _TASKS[number % len(_TASKS)]
            chance = chance_of(seed, "restarts", number)
            point = POINTS[number // len(_TASKS) % len(POINTS)]
            place = folder / f"restart-{seed}-{number}"
            place.mkdir(parents=True)
            try:
                wrong = run[task](place, point, chance, kill)
            except FramesiftError as error:
                wrong = str(error)
            rows[task].see(not wrong, f"{wrong} after round {number} of seed {seed}, killed at {point}")
            # A cache that was opened last may still be written, under a name that goes meanwhile.
            shutil.rmtree(place, ignore_errors=True)
            progress(1)
    return list(rows.values())


def _import(place: Path, point: str, chance: random.Random, kill: Callable[..., None]) -> str:
    with Gallery.open(place / "gallery", manifest()) as gallery:
        _write_records(place / "records.parquet", gallery)
        gallery.add([entry("v1", 7, gallery.schema)])
    kill(place, [IMPORT], point, chance.randint(0, _RECORDS // COMMIT - 1), chance.random(), task=IMPORT)
    log = place / "import"
    told = sum(map(int, log.read_text().split())) if log.exists() else 0
    found, wrong = numbers(Gallery.existing(place / "gallery"))
    if wrong:
        return str(wrong[:3])
    if lost := [f"v{n}" for n in range(told) if f"v{n}" not in found]:
        return f"{lost[:3]} of {told} are not there"
    with Gallery.existing(place / "gallery") as gallery:
        done = bulk.bring_in(gallery, Records.open(place / "records.parquet"), lambda rows: None)
        found, wrong = numbers(gallery)
    if wrong or found != {f"v{n}": 7 for n in range(_RECORDS)}:
        return f"{wrong[:3]}, {len(found)} of {_RECORDS} after going on"
    return "" if done.same >= told else f"{done.same} were there, {told} had been told"


def _write_records(path: Path, gallery: Gallery) -> None:
    schema = gallery.schema
    block = Block.of([GalleryRow.of(entry(f"v{n}", 7, schema), schema) for n in range(_RECORDS)])
    columns: dict[str, object] = {
        "id": block.ids,
        "digest": block.digests,
        "metadata": block.metadata,
        "duration": block.durations,
    }
    for name, values in {"timestamps": block.timestamps, **block.tensors}.items():
        columns[name] = pa.array(values.reshape(_RECORDS, -1).tolist(), pa.list_(pa.from_numpy_dtype(values.dtype)))
    parquet.write_table(pa.table(columns), path)


def _cache(place: Path, point: str, chance: random.Random, kill: Callable[..., None]) -> str:
    with Gallery.open(place / "gallery", manifest()) as gallery:
        gallery.add([entry(f"v{n}", 1, gallery.schema) for n in range(30)])
        gallery.add([entry(f"v{n}", 2, gallery.schema) for n in range(0, 30, 4)])
        if chance.random() < 0.5:
            # There is one of an earlier version already.
            _opened(gallery, cached=True)
            _wait_for(place / "gallery" / store.CACHE)
            gallery.add([entry("later", 1, gallery.schema)])
            gallery.remove(["v3"])
        kill(place, [CACHE], point, 0, chance.random(), task=CACHE)
        wanted = _content(_opened(gallery, cached=False))
        if _content(_opened(gallery, cached=True)) != wanted:
            return "another content"
        _wait_for(place / "gallery" / store.CACHE)
        for file in (place / "gallery" / store.CACHE).glob("*.rows"):
            # As a disk may leave it that lost power. The file that is mapped above stays what it was.
            cut = file.read_bytes()[: chance.randrange(file.stat().st_size)]
            file.unlink()
            file.write_bytes(cut)
        return "" if _content(_opened(gallery, cached=True)) == wanted else "another content from a file that was cut"


def _opened(gallery: Gallery, *, cached: bool) -> View:
    loading.CACHED_BYTES, before = 1, loading.CACHED_BYTES
    try:
        names = [spec.name for spec in gallery.schema.record]
        with Snapshot(gallery.reader(), names, cache=gallery.root / store.CACHE if cached else None) as snapshot:
            return snapshot.view
    finally:
        loading.CACHED_BYTES = before


def _wait_for(folder: Path) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and (list(folder.glob("*.part")) or not list(folder.glob("*.rows"))):
        time.sleep(0.01)


def _content(view: View) -> dict[str, tuple[bytes, ...]]:
    live = np.delete(np.arange(len(view.timestamps)), view.dead).tolist()
    arrays = [*(view.tensors[name] for name in sorted(view.tensors)), view.timestamps]
    return {view.ids[row]: tuple(array[row].tobytes() for array in arrays) for row in live}


def _lease(place: Path, point: str, chance: random.Random, kill: Callable[..., None]) -> str:
    with Gallery.open(place / "gallery", manifest()) as gallery:
        lease = place / "gallery" / store.LOCK

        def held() -> str:
            deadline = time.monotonic() + _PATIENCE_S
            while not (place / "held").exists():
                if time.monotonic() > deadline:
                    return "nobody took the lease"
                time.sleep(0.01)
            pid = int((place / "held").read_text())
            try:
                with exclusive(lease, 0.02):
                    return "two hold the lease"
            except FramesiftError as error:
                return "" if f"process {pid} on " in str(error) else str(error)
            finally:
                os.kill(pid, signal.SIGKILL)

        told: list[str] = []
        kill(place, [LEASE], point, 0, chance.random(), task=LEASE, meanwhile=lambda: told.append(held()))
        begun = time.monotonic()
        gallery.add([entry("after", 1, gallery.schema)])
        waited = time.monotonic() - begun
    return told[0] or ("" if waited < _SOON_S else f"the next writer waited {waited:.1f} s")
