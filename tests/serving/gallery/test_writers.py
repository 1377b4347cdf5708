"""Writers that die, writers that meet, and the compaction beside them."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path

import lancedb
import pytest

from framesift.export.bundle.errors import GalleryError
from framesift.export.bundle.manifest import Manifest
from framesift.serving.gallery.compaction import Compaction, too_many
from framesift.serving.gallery.lock import exclusive
from framesift.serving.gallery.rows import GalleryEntry
from framesift.serving.gallery.store import LOCK_WAIT_S, Gallery
from framesift.serving.search.snapshot import Snapshot

MakeEntry = Callable[..., GalleryEntry]

# For every line "name commits" on stdin: a process of its own that does so many commits, or goes on until it
# is killed. It writes the id of every acknowledged entry to the file "name"; every third commit also
# replaces the entry "shared". Forking from a process that has imported everything saves seconds of imports
# per writer.
WRITERS = """
import hashlib, os, signal, sys
from pathlib import Path
import numpy as np
from framesift.export.bundle.manifest import Manifest
from framesift.serving.gallery.rows import GalleryEntry
from framesift.serving.gallery.store import LOCK_WAIT_S, Gallery

def write(name, commits):
    gallery = Gallery.open("gallery", Manifest.from_json(Path("manifest.json").read_text()))
    log = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for n in range(commits):
        key = f"{name}-{n}"
        tensors = {s.name: np.full(s.shape, s.shape[-1] ** -0.5, np.float32) for s in gallery.schema.record}
        facts = tensors, np.zeros(gallery.schema.frames), 1.0, hashlib.sha256(key.encode()).digest()
        gallery.add([GalleryEntry(id_, *facts) for id_ in [key, "shared"][: 1 + (n % 3 == 0)]])
        os.write(log, f"{key}\\n".encode())
    os.write(log, b"done\\n")

signal.signal(signal.SIGCHLD, signal.SIG_IGN)
for line in sys.stdin:
    name, commits = line.split()
    child = os.fork()
    if child == 0:
        write(name, int(commits))
        os._exit(0)
    print(child, flush=True)
"""


class Writers:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", WRITERS],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def start(self, name: str, commits: int = 1 << 30) -> int:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{name} {commits}\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def acknowledged(self, name: str) -> list[str]:
        log = self.folder / name
        return log.read_text().splitlines() if log.exists() else []

    def wait_for(self, name: str, line: str) -> list[str]:
        deadline = time.monotonic() + 60
        while line not in (seen := self.acknowledged(name)):
            assert time.monotonic() < deadline, f"{name} wrote {seen}"
            time.sleep(0.01)
        return seen


@pytest.fixture
def writers(tmp_path: Path, manifest: Manifest) -> Iterator[Writers]:
    (tmp_path / "manifest.json").write_text(manifest.to_json())
    writers = Writers(tmp_path)
    yield writers
    writers.process.kill()
    writers.process.communicate()


def _all_ids(gallery: Gallery) -> list[str]:
    return [id_ for batch in gallery.reader().batches([], -1) for id_ in batch.column("id").to_pylist()]


@pytest.mark.parametrize("rounds", [3, pytest.param(8, marks=pytest.mark.slow)])
def test_what_was_acknowledged_survives_kill_9(folder: Path, manifest: Manifest, writers: Writers, rounds: int) -> None:
    acknowledged: set[str] = set()
    moment = random.Random(7)
    for round_ in range(rounds):
        names = [f"writer{round_}a", f"writer{round_}b"]
        children = [writers.start(name) for name in names]
        for name, child in zip(names, children, strict=True):
            writers.wait_for(name, f"{name}-0")
            time.sleep(moment.uniform(0, 0.25))
            os.kill(child, signal.SIGKILL)
        for name in names:
            acknowledged.update(line for line in writers.acknowledged(name))
        gallery = Gallery.open(folder, manifest)
        ids = _all_ids(gallery)
        assert len(ids) == len(set(ids)) == gallery.count
        assert acknowledged <= set(ids)
        # At most the one commit that each of the dead was in the middle of was kept without being
        # acknowledged.
        assert len(ids) <= len(acknowledged) + 1 + 2 * (round_ + 1)
        digests = gallery.lookup(sorted(acknowledged)).digests
        assert digests == {id_: hashlib.sha256(id_.encode()).digest() for id_ in acknowledged}
    assert len(acknowledged) > rounds


def test_two_processes_and_two_threads_write_at_once_and_lose_nothing(
    folder: Path, manifest: Manifest, make_entry: MakeEntry, writers: Writers
) -> None:
    with Gallery.open(folder, manifest) as gallery:
        for name in ("x", "y"):
            writers.start(name, 25)
        threads = [
            threading.Thread(target=lambda name=name: [gallery.add([make_entry(f"{name}{n}")]) for n in range(20)])
            for name in ("p", "q")
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for name in ("x", "y"):
            writers.wait_for(name, "done")
        expected = [f"{name}-{n}" for name in ("x", "y") for n in range(25)]
        expected += [f"{name}{n}" for name in ("p", "q") for n in range(20)]
        assert sorted(_all_ids(gallery)) == sorted([*expected, "shared"])


def test_a_lock_that_stays_taken_is_named(tmp_path: Path) -> None:
    with (
        exclusive(tmp_path / ".lock", 1),
        pytest.raises(GalleryError, match=r"another writer has held .*\.lock for 0\.1 s"),
        exclusive(tmp_path / ".lock", 0.1),
    ):
        pass
    with exclusive(tmp_path / ".lock", 0):
        pass


def test_a_lock_that_is_a_link_is_refused(folder: Path, manifest: Manifest) -> None:
    victim = folder.parent / "victim"
    folder.mkdir()
    (folder / ".lock").symlink_to(victim)
    with pytest.raises(GalleryError, match=r"\.lock is a link, remove it"):
        Gallery.open(folder, manifest)
    assert not victim.exists()


def test_many_small_commits_leave_few_files(folder: Path, manifest: Manifest, make_entry: MakeEntry) -> None:
    with Gallery.open(folder, manifest) as gallery:
        for n in range(120):
            gallery.add([make_entry(f"v{n}")])
        gallery.close()
        fragments = lancedb.connect(folder).open_table("videos").stats()["fragment_stats"]["num_fragments"]
        assert fragments < 80
        assert gallery.count == 120


def test_compaction_drops_old_versions_and_nothing_else(
    folder: Path, manifest: Manifest, make_entry: MakeEntry
) -> None:
    with Gallery.open(folder, manifest) as gallery:
        for n in range(70):
            gallery.add([make_entry(f"v{n}")])
    table = lancedb.connect(folder).open_table("videos")
    compaction = Compaction(partial(lancedb.connect(folder).open_table, "videos"), retain=timedelta(milliseconds=1))
    versions = len(table.list_versions())
    for _ in range(16):
        compaction.committed(70)
    compaction.close()
    assert versions > 70
    assert len(table.list_versions()) < 5
    assert len(list(folder.glob("videos.lance/data/*"))) < 5
    assert sorted(_all_ids(Gallery.existing(folder))) == sorted(f"v{n}" for n in range(70))


def test_videos_that_replace_others_leave_few_files(folder: Path, manifest: Manifest, make_entry: MakeEntry) -> None:
    with Gallery.open(folder, manifest) as gallery:
        gallery.add([make_entry(f"old{n}") for n in range(2000)])
        opened = partial(lancedb.connect(folder).open_table, "videos")
        lock = partial(exclusive, folder / ".lock", LOCK_WAIT_S)
        alone = partial(exclusive, folder / ".merging", LOCK_WAIT_S)
        compaction = Compaction(opened, retain=timedelta(milliseconds=1), lock=lock, alone=alone)
        # A merge that was killed leaves files which no version knows.
        left = folder / "videos.lance" / "data" / "left-by-a-killed-merge.lance"
        left.write_bytes(next(folder.glob("videos.lance/data/*")).read_bytes())
        # They go on being replaced while files are merged.
        for n in range(112):
            gallery.add([make_entry(f"v{n % 8}", seed=n)])
            compaction.committed(2008)
        compaction.close()
        assert gallery.count == 2008
    assert not left.exists()
    assert len(list(folder.glob("videos.lance/_versions/*"))) < 60
    assert len(list(folder.glob("videos.lance/data/*"))) < 60


def test_a_merge_in_another_process_keeps_this_one_s_from_beginning(
    folder: Path, manifest: Manifest, make_entry: MakeEntry
) -> None:
    with Gallery.open(folder, manifest) as gallery, exclusive(folder / ".merging", 0.0):
        for n in range(70):
            gallery.add([make_entry(f"v{n}")])
        gallery.close()
        assert lancedb.connect(folder).open_table("videos").stats()["fragment_stats"]["num_fragments"] == 70


def test_writers_and_readers_go_on_while_files_are_merged(
    folder: Path, manifest: Manifest, make_entry: MakeEntry
) -> None:
    with Gallery.open(folder, manifest) as gallery:
        gallery.add([make_entry(f"v{n}") for n in range(2000)])
        snapshot = Snapshot(gallery.reader(), [spec.name for spec in gallery.schema.record])
        stop = threading.Event()
        merged = []

        def merge() -> None:
            table = lancedb.connect(folder).open_table("videos")
            while not stop.is_set():
                try:
                    table.optimize()
                    merged.append(table.version)
                except RuntimeError:
                    # It lost against a replacement, which is its part: the writers must not lose.
                    table.checkout_latest()

        thread = threading.Thread(target=merge)
        thread.start()
        for n in range(25):
            gallery.add([make_entry(f"v{n}", seed=1), make_entry(f"new{n}")])
            gallery.remove([f"v{n + 1000}"])
            snapshot.refresh()
            assert snapshot.view.count == 2000
        stop.set()
        thread.join()
        assert merged
        assert gallery.lookup(["v24"]).digests["v24"] == make_entry("v24", seed=1).digest


@pytest.mark.parametrize(
    ("fragments", "rows", "merge"),
    [(64, 0, False), (65, 0, True), (500, 100_000, False), (600, 100_000, True)],
)
def test_the_number_of_files_may_grow_with_the_gallery(fragments: int, rows: int, merge: bool) -> None:
    assert too_many(fragments, rows) is merge
