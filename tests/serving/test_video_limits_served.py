"""Limits of videos at a server: what exceeds them costs that video alone, and is named."""

from __future__ import annotations

import os
import re
import signal
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from click.testing import CliRunner

from framesift.__main__ import main
from framesift.export.bundle.errors import InvalidVideo
from framesift.export.bundle.limits import MAX_VIDEO_BYTES
from framesift.export.bundle.store import Bundle
from framesift.export.bundle.video.limits import VideoLimits
from framesift.serving.client.sync import Client
from framesift.serving.serve import running
from framesift.serving.server.embedded import EmbeddedServer
from framesift.serving.server.processes import model_processes

from ..slow_videos import write_slow_video
from ..waiting import until

pytestmark = pytest.mark.server
LIMITS = VideoLimits(max_work=2, max_bytes=MAX_VIDEO_BYTES + (8 << 20))


@pytest.fixture(scope="module")
def limited(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    with running(bundle, tmp_path_factory.mktemp("galleries") / "limited", limits=LIMITS) as server:
        yield server


def _decoders(server: EmbeddedServer) -> list[int]:
    """The processes of the model that decodes."""
    return [process.pid for process in model_processes(server.pid) if process.model == "video_decoder"]


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _holds(pid: int, size: int) -> bool:
    """Whether a process has a file of this size open."""
    with suppress(OSError):
        return any(os.stat(f"/proc/{pid}/fd/{name}").st_size == size for name in os.listdir(f"/proc/{pid}/fd"))
    return False


def _index(server: EmbeddedServer, folder: Path) -> tuple[int, str]:
    done = CliRunner().invoke(main, ["index", str(folder), "--server", server.address, "--jobs", "2"])
    return done.exit_code, done.output


def test_a_video_that_ends_its_process_is_named_and_the_others_are_indexed(
    limited: EmbeddedServer, clips: list, tmp_path: Path
) -> None:
    for clip in clips[:4]:
        (tmp_path / clip.video.name).write_bytes(clip.video.read_bytes())
    # A single frame that takes longer than the limit: nothing but its end stops the process.
    write_slow_video(tmp_path / "endless.mkv", (2560, 1440), 1)
    before = _decoders(limited)
    code, output = _index(limited, tmp_path)
    assert code == 1
    assert "4 indexed, 0 skipped, 1 failed" in output
    assert "endless.mkv: the video has kept the decoder at work without an end" in output
    assert "framesift serve --video-limit work=4" in output
    assert _decoders(limited) == before
    (tmp_path / "endless.mkv").unlink()
    code, output = _index(limited, tmp_path)
    assert code == 0
    assert "\n0 indexed, 4 skipped, 0 failed" in output


def test_a_video_that_crashes_its_process_is_named(limited: EmbeddedServer, clips: list, tmp_path: Path) -> None:
    path = write_slow_video(tmp_path / "crash.mkv", (2560, 1440), 1)
    (tmp_path / "good.mp4").write_bytes(clips[5].video.read_bytes())
    before = _decoders(limited)
    stopped = threading.Event()

    def crash() -> None:
        """Crash whichever decoder has the video."""
        while not stopped.wait(0.01):
            for child in [child for pid in before for child in _children(pid)]:
                if _holds(child, path.stat().st_size):
                    os.kill(child, signal.SIGSEGV)
                    return

    def crashed() -> tuple[int, str] | None:
        """What the command said, unless the crash came too late: the limit had ended the decoder before."""
        stopped.clear()
        thread = threading.Thread(target=crash)
        thread.start()
        try:
            found = _index(limited, tmp_path)
        finally:
            stopped.set()
            thread.join()
        return None if "at work without an end" in found[1] else found

    code, output = until(crashed)
    assert code == 1
    assert re.search("(1 indexed, 0|0 indexed, 1) skipped, 1 failed", output)
    assert f"{path}: the video crashed its decoder (SIGSEGV)" in output
    assert _decoders(limited) == before


def test_a_larger_limit_of_bytes_is_known_to_all(limited: EmbeddedServer, clips: list) -> None:
    small = clips[0].video.read_bytes()
    size = LIMITS.max_bytes - len(small)
    with Client(limited.address, timeout_s=120) as client:
        assert client.encode_video(small + size.to_bytes(4, "big") + b"free" + bytes(size - 8)).tensors
        with pytest.raises(InvalidVideo, match=f"the limit is {LIMITS.max_bytes}: .*--video-limit bytes="):
            client.encode_video(bytes(LIMITS.max_bytes + 1))
