"""What else is killed beside writers: an import, the making of a search's cache, and whoever holds the lease."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

from framesift.serving.gallery import bulk, store
from framesift.serving.gallery.lock import exclusive
from framesift.serving.gallery.sources import Records
from framesift.serving.search import loading, mapped
from framesift.serving.search.snapshot import Snapshot

from .gallery_rows import manifest
from .points import die_at

IMPORT, CACHE, LEASE = "import", "cache", "lease"
# Records of an import's commit.
COMMIT = 4
# A survivor ends by itself.
_FINISH_S = 20.0


def bring_in(folder: Path, point: str, after: int) -> None:
    """Import, noting how many records are in, until this process is killed at its ``after``th commit."""
    bulk.sealed_rows = lambda row_bytes: COMMIT
    gallery = store.Gallery.open(folder / "gallery", manifest())
    log = os.open(folder / "import", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    seen = 0

    def told(rows: int) -> None:
        nonlocal seen
        os.write(log, f"{rows}\n".encode())
        seen += 1
        if seen == after:
            die_at(point)

    if not after:
        die_at(point)
    bulk.bring_in(gallery, Records.open(folder / "records.parquet"), told)


def map_rows(folder: Path, point: str, after: int) -> None:
    """Open the gallery as a search does, which makes a cache, and be killed at ``point`` of that."""
    loading.CACHED_BYTES = 1
    gallery = store.Gallery.existing(folder / "gallery")
    reader, names = gallery.reader(), [spec.name for spec in gallery.schema.record]
    finish, finished = mapped.Building.finish, threading.Event()

    def dying(building: mapped.Building, contents: mapped.Contents) -> None:
        die_at(point)
        finish(building, contents)
        finished.set()

    # "file made" is before there is anything to finish.
    if point == "file made":
        die_at(point)
    mapped.Building.finish = dying
    Snapshot(reader, names, cache=folder / "gallery" / store.CACHE)
    finished.wait(_FINISH_S)


def hold(folder: Path, point: str, after: int) -> None:
    """Hold the lease until this process is killed."""
    with exclusive(folder / "gallery" / store.LOCK, 10):
        (folder / "pid").write_text(str(os.getpid()))
        (folder / "pid").rename(folder / "held")
        time.sleep(60)


TASKS = {IMPORT: bring_in, CACHE: map_rows, LEASE: hold}
