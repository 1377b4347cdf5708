"""The process that decodes: no file takes more than its limits allow, and what it takes ends with it."""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av
import numpy as np
import pytest

from framesift.export.bundle.errors import BundleError, InvalidVideo, ServerUnavailable
from framesift.export.bundle.manifest import FrameProfile
from framesift.export.bundle.video.decode import decode
from framesift.export.bundle.video.limits import DEFAULT_LIMITS, VideoLimits
from framesift.export.bundle.video.sandbox import Sandbox

from ..waiting import until
from .mp4_files import BOMBS, Box, assemble, edited, parse
from .watching import MOST_BYTES, Watched, held_up, signalled

Write = Callable[..., Path]
PROFILE = FrameProfile(count=4, size=16)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as shared:
        yield shared


@pytest.mark.parametrize("kind", [bytes, memoryview, lambda raw: np.frombuffer(raw, np.uint8), None])
@pytest.mark.parametrize("missing", ["repeat", "mask"])
def test_it_gives_what_decoding_here_gives(
    write_clip: Write, sandbox: Sandbox, kind: type | None, missing: str
) -> None:
    path = write_clip(3 if missing == "mask" else 40)
    for resize in ("pil_bicubic", "tensor_bicubic"):
        profile = FrameProfile(count=5, size=24, resize=resize, missing=missing)
        found = sandbox.decode(path if kind is None else kind(path.read_bytes()), profile)
        wanted = decode(path, profile)
        assert found.frames.dtype == wanted.frames.dtype
        assert np.array_equal(found.frames, wanted.frames)
        assert np.array_equal(found.mask, wanted.mask)
        assert np.array_equal(found.timestamps, wanted.timestamps)
        assert (found.duration, found.frame_count) == (wanted.duration, wanted.frame_count)


def test_refusals_are_the_same(write_clip: Write, sandbox: Sandbox, tmp_path: Path) -> None:
    for source in (b"", b"no video" * 100, write_clip(30).read_bytes()[:-1000]):
        with pytest.raises(InvalidVideo) as here:
            decode(source, PROFILE)
        with pytest.raises(InvalidVideo) as there:
            sandbox.decode(source, PROFILE)
        assert str(there.value) == str(here.value)
    with pytest.raises(InvalidVideo, match="none.mp4 can't be read: No such file"):
        sandbox.decode(tmp_path / "none.mp4", PROFILE)
    with pytest.raises(BundleError, match="sampler 'none'"):
        sandbox.decode(b"", FrameProfile(sampler="none"))
    with pytest.raises(InvalidVideo, match="the limit is 10"), Sandbox(VideoLimits(max_bytes=10)) as small:
        small.decode(bytes(11), PROFILE)


def test_one_process_decodes_many_videos(write_clip: Write, sandbox: Sandbox) -> None:
    path = write_clip(20)
    sandbox.decode(path, PROFILE)
    first = sandbox.pid
    for _ in range(5):
        sandbox.decode(path, PROFILE)
        with pytest.raises(InvalidVideo):
            sandbox.decode(b"no video" * 100, PROFILE)
    assert sandbox.pid == first


def test_threads_may_share_it(write_clip: Write, sandbox: Sandbox) -> None:
    paths = [write_clip(count) for count in range(5, 13)]
    with ThreadPoolExecutor(4) as pool:
        counts = list(pool.map(lambda path: sandbox.decode(path, PROFILE).frame_count, paths * 3))
    assert counts == [*range(5, 13)] * 3


def test_announced_samples_cost_nothing(watched: Watched) -> None:
    for name, raw in BOMBS.items():
        with watched.bounds(), pytest.raises(InvalidVideo, match="packets or more"):
            watched.sandbox.decode(raw, PROFILE)
        assert watched.peak < 64 << 20, name


def test_what_no_check_foresees_ends_at_the_memory_limit(watched: Watched, write_clip: Write) -> None:
    """Each of 5,000 edits shows 900,000 samples: FFmpeg would write all of them down."""
    with watched.bounds(), pytest.raises(InvalidVideo):
        watched.sandbox.decode(edited(900_000, 5_000), PROFILE)
    assert watched.sandbox.decode(write_clip(20), PROFILE).frame_count == 20


def _streams(path: Path, clip: Path, count: int) -> bytes:
    with av.open(str(clip)) as container, av.open(str(path), "w") as out:
        copies = [out.add_stream_from_template(container.streams.video[0]) for _ in range(count)]
        (packet,) = (bytes(packet) for packet in container.demux(video=0) if packet.size)
        for copy in copies:
            twin = av.Packet(packet)
            twin.stream, twin.pts, twin.dts, twin.is_keyframe = copy, 0, 0, True
            out.mux(twin)
    return path.read_bytes()


@pytest.mark.parametrize(("suffix", "count"), [(".mp4", 120), (".mkv", 120), (".ts", 120), (".avi", 90)])
def test_many_streams_of_large_frames_are_refused(
    watched: Watched, write_clip: Write, tmp_path: Path, suffix: str, count: int
) -> None:
    clip = write_clip(1, size=(4096, 2304), suffix=suffix, options={"preset": "ultrafast", "crf": "51"})
    raw = _streams(tmp_path / f"streams{suffix}", clip, count)
    with watched.bounds(), pytest.raises(InvalidVideo, match=f"{count} video streams, the limit is 16"):
        watched.sandbox.decode(raw, PROFILE)


def test_frames_too_large_for_the_memory_are_refused(write_clip: Write) -> None:
    path = write_clip(6, size=(4096, 2304), options={"preset": "ultrafast", "bf": "2"})
    with Sandbox(VideoLimits(max_memory=64 << 20)) as sandbox:
        with pytest.raises(
            InvalidVideo, match="the video takes more than 64 MB to decode: convert it to smaller frames"
        ):
            sandbox.decode(path, PROFILE)
        assert sandbox.decode(write_clip(20), PROFILE).frame_count == 20
    with Sandbox() as sandbox:
        assert sandbox.decode(path, PROFILE).frame_count == 6


@pytest.mark.parametrize(("size", "codec"), [((5312, 2988), "libx265"), ((7680, 4320), "libx264")])
@pytest.mark.slow
def test_frames_of_cameras_are_decoded(watched: Watched, write_clip: Write, size: tuple[int, int], codec: str) -> None:
    options = {"preset": "ultrafast", "bf": "0", "refs": "1", "x265-params": "log-level=none:bframes=0:ref=1"}
    path = write_clip(4, size=size, codec=codec, options=options)
    video = watched.sandbox.decode(path, FrameProfile(count=2, size=224))
    assert video.frame_count == 4
    assert watched.peak < MOST_BYTES


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".mkv", ".avi", ".mov"])
def test_slow_video_is_refused(watched: Watched, write_jpeg2000: Write, suffix: str) -> None:
    """Frames that take minutes are seen for what they are within seconds."""
    path = write_jpeg2000((2048, 1152), 24, suffix=suffix)
    with watched.bounds(), pytest.raises(InvalidVideo, match=r"s of work, the limit is 14 s for a video slower"):
        watched.sandbox.decode(path, FrameProfile(count=24))


@pytest.mark.long
def test_single_frame_that_takes_too_long_ends_its_process(write_jpeg2000: Write, write_clip: Write) -> None:
    """Between two frames the process can't give account of itself, so it is ended from outside."""
    # The kernel's limit is of whole seconds, so on a fast machine, too, the frame has to take one and a half.
    path = write_jpeg2000((3584, 2016), 1)
    with Sandbox(VideoLimits(max_work=2)) as sandbox:
        with pytest.raises(InvalidVideo, match="has kept the decoder at work without an end.*--video-limit work=4"):
            sandbox.decode(path, PROFILE)
        assert sandbox.decode(write_clip(20), PROFILE).frame_count == 20


@pytest.fixture
def endless(write_clip: Write) -> Path:
    """A film over which processes are held up."""
    return write_clip(60)


@pytest.mark.parametrize(
    ("number", "fault"),
    [
        (signal.SIGSEGV, r"the video crashed its decoder \(SIGSEGV\): it is damaged, or made to do that; leave it out"),
        (signal.SIGABRT, r"the video crashed its decoder \(SIGABRT\)"),
        (signal.SIGKILL, "the video takes more than 480 MB to decode"),
        (signal.SIGXCPU, "has kept the decoder at work without an end"),
    ],
)
def test_process_that_ends_over_a_video_is_replaced(
    write_clip: Write, endless: Path, number: signal.Signals, fault: str
) -> None:
    with Sandbox() as sandbox:
        with signalled(endless, number), pytest.raises(InvalidVideo, match=fault):
            sandbox.decode(endless, FrameProfile(count=60, size=16))
        assert sandbox.decode(write_clip(20), PROFILE).frame_count == 20


def test_process_that_ends_while_it_is_idle_is_replaced(write_clip: Write) -> None:
    path = write_clip(10)
    with Sandbox() as sandbox:
        wanted = sandbox.decode(path, PROFILE)
        for _ in range(2):
            pid = sandbox.pid
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            until(lambda pid=pid: Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z")
            np.testing.assert_array_equal(sandbox.decode(path, PROFILE).frames, wanted.frames)
            assert sandbox.pid != pid


def test_process_that_gets_no_processor_is_no_fault_of_the_video(
    write_clip: Write, endless: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Sandbox(VideoLimits(max_work=2)) as sandbox:
        with monkeypatch.context() as patch, held_up(endless):
            patch.setattr("framesift.export.bundle.video.decoder_process._SPARE_S", 1)
            with pytest.raises(ServerUnavailable, match=r"this machine is too busy: in \d+ s the decoder got"):
                sandbox.decode(endless, FrameProfile(count=60, size=16))
        assert sandbox.decode(write_clip(20), PROFILE).frame_count == 20


def _gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_process_ends_with_the_one_that_started_it() -> None:
    program = (
        "import time; from framesift.export.bundle.video.sandbox import Sandbox\n"
        "sandbox = Sandbox(); sandbox.start(); print(sandbox.pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert not _gone(pid)
        parent.kill()
    until(lambda: _gone(pid))


def test_closed_sandbox_starts_again(write_clip: Write) -> None:
    path = write_clip(5)
    sandbox = Sandbox(DEFAULT_LIMITS)
    assert sandbox.pid is None
    assert sandbox.decode(path, PROFILE).frame_count == 5
    first = sandbox.pid
    assert first is not None
    sandbox.close()
    assert _gone(first)
    sandbox.close()
    assert sandbox.decode(path, PROFILE).frame_count == 5
    assert sandbox.pid != first
    sandbox.close()


def test_large_pictures_leave_nothing_behind(write_clip: Write, watched: Watched) -> None:
    sandbox = watched.sandbox
    first = sandbox.pid
    sandbox.decode(write_clip(3, size=(4096, 2304), options={"preset": "ultrafast"}), PROFILE)
    assert sandbox.pid == first
    held = Path(f"/proc/{first}/status").read_text(encoding="ascii")
    (now,) = (int(line.split()[1]) << 10 for line in held.splitlines() if line.startswith("VmRSS"))
    assert now < 160 << 20


def test_order_of_boxes_in_the_edited_file_is_read(write_clip: Write) -> None:
    """The edit list of the bomb above, of a length that can be shown, is one that FFmpeg follows."""
    raw = write_clip(10, options={"bf": "0"}).read_bytes()
    parts: list[Box | bytes] = [*parse(raw)]
    moov = next(part for part in parts if isinstance(part, Box) and part.kind == b"moov")
    edits = moov.find(b"trak", b"edts", b"elst")
    edits.body = edits.body[:4] + struct.pack(">I", 3) + edits.body[8:20] * 3
    assert decode(assemble(parts, raw), PROFILE).frame_count == 30


def test_sound_that_sets_in_late_is_no_damage(write_clip: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    right = write_clip(300, suffix=".flv", options={"g": "12"}).read_bytes()
    # A header without notice of sound, and one piece of it (MP3, 44.1 kHz, stereo) after 12 s: FFmpeg opens it then.
    sound = b"\x2f" + b"\xff" * 400
    tag = struct.pack(">IIxxx", 8 << 24 | len(sound), 12_000 << 8) + sound + struct.pack(">I", 11 + len(sound))
    late = right[:4] + b"\x01" + right[5:] + tag
    # Fresh memory isn't zero, so that whatever reads beyond its own finds something, every time.
    monkeypatch.setenv("MALLOC_PERTURB_", "1")
    with Sandbox() as strict:
        frames = [strict.decode(raw, PROFILE).frames for raw in (right, late)]
    assert np.array_equal(*frames)
