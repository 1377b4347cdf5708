"""A folder as people have it: ten thousand files, and one of everything that goes wrong."""

from __future__ import annotations

import hashlib
import os
import resource
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from framesift.export.bundle.ports import FRAMES, VIDEO_ENCODER
from framesift.export.bundle.sessions import cpu_session
from framesift.export.bundle.store import Bundle
from framesift.serving.client.printable import printable
from framesift.serving.client.sync import Client
from framesift.serving.gallery.rows import GalleryEntry
from framesift.serving.gallery.store import Gallery
from framesift.serving.serve import running

pytestmark = [pytest.mark.server, pytest.mark.slow]
# So many are sent and decoded; the others the gallery has, as after a run that was cut off.
FILES, DECODED = 10_000, 300
# Processor seconds that a run may take in which nothing is new, Python's start included.
UNCHANGED_S = 2.0


def film(clip: bytes, number: int) -> bytes:
    """The clip with a box behind it that every reader skips, so that no two have the same bytes."""
    return clip + struct.pack(">I4sQ", 16, b"free", number)


def name_of(number: int) -> str:
    return f"{number % 100:02d}/film {number:05d}.mp4"


def entries(bundle: Bundle, clip: bytes) -> Iterator[list[GalleryEntry]]:
    """What an earlier run would have left of all but ``DECODED`` files, in parts."""
    profile, random = bundle.manifest.frames, np.random.default_rng(1)
    session = cpu_session(bundle.graph(VIDEO_ENCODER), 1)
    shape = (20, profile.count, 3, profile.size, profile.size)
    made = session.run(None, {FRAMES: random.integers(0, 256, shape, dtype=np.uint8)})
    record = {output.name: values for output, values in zip(session.get_outputs(), made, strict=True)}
    times = np.arange(profile.count, dtype=np.float32)
    for start in range(DECODED, FILES, 1000):
        part = []
        for number in range(start, min(start + 1000, FILES)):
            tensors = {name: values[number % 20] for name, values in record.items()}
            digest = hashlib.sha256(film(clip, number)).digest()
            part.append(GalleryEntry(name_of(number), tensors, times, float(profile.count), digest, name_of(number)))
        yield part


def oddities(folder: Path, clip: bytes) -> set[str]:
    """One of each kind beside the good files; returns what each of the failures is called in the summary."""
    failing = {
        b"empty.mp4": b"",
        b"text.mp4": b"no video at all\n",
        b"cut.mp4": clip[: len(clip) // 2],
        b"zeros.mkv": bytes(4096),
        b"line\nbreak.mp4": clip,
        b"bell\x07.mp4": clip,
        b"not utf-8 \xff.mp4": clip,
        b" outer blank.mp4": clip,
    }
    for name, data in failing.items():
        Path(os.fsdecode(bytes(folder) + b"/" + name)).write_bytes(data)
    (folder / "gone.mp4").symlink_to("nowhere.mp4")
    (folder / "itself.mp4").symlink_to("itself.mp4")
    os.mkfifo(folder / "pipe.mp4")
    with (folder / "huge.mp4").open("wb") as stream:
        stream.truncate(1 << 40)
    # What machines leave behind, and what is no video, is left out without a word.
    for left_out in (
        "._film.mp4",
        ".hidden/a.mp4",
        ".Trash-1000/a.mp4",
        "@eaDir/a.mp4",
        "__MACOSX/._a.mp4",
        "list.txt",
    ):
        (folder / left_out).parent.mkdir(exist_ok=True)
        (folder / left_out).write_bytes(clip)
    (folder / "a folder.mp4").mkdir()
    (folder / "loop").symlink_to(".", target_is_directory=True)
    return {os.fsdecode(name) for name in failing} | {"gone.mp4", "itself.mp4", "pipe.mp4", "huge.mp4"}


def run(address: str, folder: Path, home: Path) -> tuple[int, str, list[str], float]:
    """``framesift index`` in a process of its own: exit code, last line, lines of failures, processor seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-m", "framesift", "index", str(folder), "--server", address, "--jobs", "8"],
        capture_output=True,
        text=True,
        cwd=home,
        env={**os.environ, "XDG_CACHE_HOME": str(home / "cache"), "OMP_NUM_THREADS": "1"},
        timeout=1200,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    failures = [line for line in done.stderr.splitlines() if line.startswith("  ")]
    return done.returncode, done.stdout, failures, spent


@pytest.mark.timeout(1800)
def test_ten_thousand_files_with_every_oddity_are_indexed_to_the_end(
    bundle: Bundle, clips: list, tmp_path: Path
) -> None:
    folder, clip = tmp_path / "films", min((made.video.read_bytes() for made in clips), key=len)
    for number in range(FILES):
        path = folder / name_of(number)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(film(clip, number))
    odd = oddities(folder, clip)
    with Gallery.open(tmp_path / "gallery", bundle.manifest) as gallery:
        for part in entries(bundle, clip):
            gallery.add(part)
    with running(bundle, tmp_path / "gallery") as server, Client(server.address) as client:
        code, summary, failures, _ = run(server.address, folder, tmp_path)
        assert summary == f"{DECODED} indexed, {FILES - DECODED} skipped, {len(odd)} failed\n"
        assert code == 1
        assert len(failures) == len(odd)
        # One line each, whatever is in a name, as seen from the working folder, and the reason behind it.
        for name in odd:
            start = f"  {printable(Path(folder.name) / name)}: "
            assert [line for line in failures if line.startswith(start) and len(line) > len(start) + 10], name
        count = client.served().count
        assert count == FILES
        code, summary, again, spent = run(server.address, folder, tmp_path)
        assert (code, sorted(again)) == (1, sorted(failures))
        assert summary == f"0 indexed, {FILES} skipped, {len(odd)} failed: the gallery is as it was\n"
        assert spent < UNCHANGED_S
        assert client.served().count == count
