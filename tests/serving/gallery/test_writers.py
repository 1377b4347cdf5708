"""Writers that die, and writers that meet."""

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
from pathlib import Path

import pytest

from framesift.export.bundle.errors import GalleryError
from framesift.export.bundle.manifest import Manifest
from framesift.serving.gallery.rows import GalleryEntry
from framesift.serving.gallery.store import Gallery

from ...waiting import until

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
from framesift.serving.gallery.store import Gallery

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
        until(lambda: line in self.acknowledged(name), told=lambda: f"{name} wrote {self.acknowledged(name)}")
        return self.acknowledged(name)


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
    # The first of either writer in every round.
    assert len(acknowledged) >= 2 * rounds


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


def test_a_lock_that_is_a_link_is_refused(folder: Path, manifest: Manifest) -> None:
    victim = folder.parent / "victim"
    folder.mkdir()
    (folder / ".lock").symlink_to(victim)
    with pytest.raises(GalleryError, match=r"\.lock is a link, remove it"):
        Gallery.open(folder, manifest)
    assert not victim.exists()
