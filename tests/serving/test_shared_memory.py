"""Docker's default of 64 MB of shared memory: large videos go fewer at a time, and what can't go says why."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from framesift.export.bundle.store import Bundle

pytestmark = pytest.mark.server

# In a mount namespace of its own, so that nobody else's shared memory is touched.
SMALL = ["unshare", "--mount", "bash", "-c", 'mount -t tmpfs -o size=64m tmpfs /dev/shm && exec "$@"', "bash"]
INDEX = """
import sys
from pathlib import Path
from framesift import Client, FramesiftError
from framesift.export.bundle.store import Bundle
from framesift.serving.serve import running

bundle, gallery, videos = map(Path, sys.argv[1:])
with running(Bundle.open(bundle), gallery) as server, Client(server.address) as client:
    print(server.room)
    for again in range(2):
        paths = sorted(videos.iterdir())
        for path, found in zip(paths, client.index_many(paths, jobs=8)):
            print(path.name, f"{type(found).__name__}: {found}" if isinstance(found, FramesiftError) else "indexed")
"""


def padded(clip: Path, size: int) -> bytes:
    """A clip with a box of nothing behind it, as cameras leave them."""
    raw = clip.read_bytes()
    return raw + (size - len(raw)).to_bytes(4, "big") + b"free" + bytes(size - len(raw) - 8)


@pytest.mark.slow
def test_little_shared_memory_holds_fewer_videos_at_a_time(bundle: Bundle, clips: list, tmp_path: Path) -> None:
    if not shutil.which("unshare") or subprocess.run([*SMALL, "true"], capture_output=True, check=False).returncode:
        pytest.skip("mounting a file system takes root")
    videos = tmp_path / "videos"
    videos.mkdir()
    for number in range(4):
        (videos / f"large {number}.mp4").write_bytes(padded(clips[number].video, 6 << 20))
        shutil.copyfile(clips[number].video, videos / f"small {number}.mp4")
    (videos / "too large.mp4").write_bytes(padded(clips[0].video, 30 << 20))
    command = [*SMALL, sys.executable, "-c", INDEX, str(bundle.root), str(tmp_path / "gallery"), str(videos)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    room, *lines = done.stdout.splitlines()
    assert 6 << 20 < int(room) < 12 << 20
    assert len(lines) == 18
    failed = [line for line in lines if not line.endswith(" indexed")]
    assert [line.partition(": ")[0] for line in failed] == ["too large.mp4 InvalidRequest"] * 2
    assert "shared memory has room for one of" in failed[0]
    assert "--shm-size=1g" in failed[0]
