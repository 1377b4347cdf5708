"""Videos that are refused: each with an error that names the cause, and without opening anything else."""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from io import BytesIO
from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Disposition

from framesift.export.bundle.errors import BundleError, InvalidVideo
from framesift.export.bundle.manifest import FrameProfile
from framesift.export.bundle.video.decode import decode
from framesift.export.bundle.video.limits import VideoLimits

from .thread_time import thread_time_below

Write = Callable[..., Path]
PROFILE = FrameProfile(size=32)
FRONT_INDEX = {"movflags": "faststart"}
FRAGMENTS = {"movflags": "frag_keyframe+empty_moov"}


def _refused(source: bytes | Path, fault: str, limits: VideoLimits | None = None) -> None:
    with pytest.raises(InvalidVideo, match=fault) as caught:
        decode(source, PROFILE, limits or VideoLimits())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "the file is empty"),
        (b"a text, not a video\n" * 50, "unknown or unsupported format; these are read: MP4"),
        (bytes(4000), "unknown or unsupported format"),
        (np.random.default_rng(0).bytes(4000), "unknown or unsupported format"),
        (b"\x1a\x45\xdf\xa3\x01" + b"\xff" * 6 + bytes(60), "unknown or unsupported format"),
        (struct.pack(">I4s", 8 << 20, b"moov") + struct.pack(">I4s", 8, b"skip") * (1 << 20), "1000000 boxes"),
        (struct.pack(">I4s", 8 << 20, b"moov") + struct.pack(">I4s", 8, b"trak") * (1 << 20), "more than 256 tracks"),
    ],
    ids=["empty", "text", "zeros", "noise", "endless header", "endless boxes", "endless tracks"],
)
def test_what_is_no_video_is_refused(content: bytes, fault: str, tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(content)
    # A million boxes take seconds, which on a slow machine are too many.
    patient = VideoLimits(max_work=1000)
    _refused(content, fault, patient)
    _refused(path, fault, patient)


def test_path_that_is_no_file_is_refused(tmp_path: Path) -> None:
    _refused(tmp_path / "none.mp4", "none.mp4 can't be read: No such file")
    _refused(tmp_path, "is not a file")
    _refused(Path("/dev/zero"), "is not a file")


def _write_audio(path: Path, cover: bool) -> Path:
    with av.open(str(path), "w") as out:
        audio = out.add_stream("aac", rate=44100, layout="mono")
        if cover:
            picture = out.add_stream("mjpeg", rate=1)
            picture.width, picture.height, picture.pix_fmt = 32, 32, "yuvj420p"
            picture.disposition = Disposition.attached_pic
            out.mux(picture.encode(av.VideoFrame(32, 32, "yuvj420p")))
            out.mux(picture.encode(None))
        for number in range(10):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 44100, number * 1024
            out.mux(audio.encode(frame))
        out.mux(audio.encode(None))
    return path


def test_audio_is_refused(tmp_path: Path) -> None:
    _refused(_write_audio(tmp_path / "a.m4a", cover=False), "no video stream, only audio")


def test_audio_with_a_cover_picture_is_refused(tmp_path: Path) -> None:
    path = _write_audio(tmp_path / "cover.mp4", cover=True)
    with av.open(str(path)) as container:
        assert len(container.streams.video) == 1
    _refused(path, "no video stream, only a cover picture and audio")


@pytest.mark.parametrize(
    ("video", "share", "fault"),
    [
        ({}, 0.5, "truncated: its index, the moov box, is missing"),
        ({}, 0.99, "truncated: its header or index is incomplete"),
        ({"container": FRONT_INDEX}, 0.1, "truncated: 0 of about 60 frames"),
        ({"container": FRONT_INDEX}, 0.6, r"truncated: \d\d of about 60 frames are readable"),
        ({"container": FRAGMENTS, "options": {"g": "12"}}, 0.6, r"truncated: \d\d of about \d\d frames"),
        ({"suffix": ".mkv"}, 0.01, "truncated|damaged"),
        ({"suffix": ".mkv"}, 0.6, r"truncated: \d\d of about 60 frames"),
        ({"suffix": ".avi", "codec": "mpeg4"}, 0.6, r"truncated: \d+ of about 60 frames"),
        ({"suffix": ".flv"}, 0.6, r"truncated: \d\d of about 6\d frames"),
    ],
)
def test_truncated_file_is_refused(write_clip: Write, video: dict[str, object], share: float, fault: str) -> None:
    whole = write_clip(60, **video).read_bytes()
    assert decode(whole, PROFILE).frame_count == 60
    _refused(whole[: int(len(whole) * share)], fault)


def test_file_cut_after_the_last_chosen_frame_is_read(write_clip: Write) -> None:
    whole = write_clip(60, container=FRONT_INDEX).read_bytes()
    clip = decode(whole[:-10], PROFILE)
    assert clip.frame_count == 59


def test_damaged_video_is_refused_without_a_word_from_ffmpeg(
    write_clip: Write, capfd: pytest.CaptureFixture[str]
) -> None:
    whole = bytearray(write_clip(60, container=FRONT_INDEX).read_bytes())
    capfd.readouterr()
    whole[len(whole) // 2 :] = bytes(len(whole) - len(whole) // 2)
    _refused(bytes(whole), r"damaged: \d+ of its 60 frames can be decoded")
    whole[whole.index(b"mdat") + 4 :] = bytes(len(whole) - whole.index(b"mdat") - 4)
    _refused(bytes(whole), "damaged: 0 of its 60 frames")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("limits", "fault"),
    [
        (VideoLimits(max_bytes=1000), r"\d+ bytes, the limit is 1000"),
        (VideoLimits(max_side=63), "64x48, the limit is 63 pixels on a side"),
        (VideoLimits(max_pixels=3000), "64x48, the limit is 3000 pixels in a frame"),
        (VideoLimits(max_aspect=1), "64x48, the limit is an aspect ratio of 1:1"),
        (VideoLimits(max_seconds=2.3), "2 s, the limit is 2 s"),
        (VideoLimits(max_packets=59), "the limit is 59"),
        (VideoLimits(max_work=1e-4), r"the video has taken \d+ s of work, the limit is (0\.0001|2\.5e-05) s"),
    ],
)
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
def test_video_over_a_limit_is_refused(write_clip: Write, suffix: str, limits: VideoLimits, fault: str) -> None:
    path = write_clip(60, suffix=suffix)
    assert decode(path, PROFILE).frame_count == 60
    _refused(path, fault, limits)


@pytest.mark.parametrize("size", [(8192, 4352), (8200, 64), (4000, 32)])
def test_small_file_of_huge_frames_is_refused_at_once(write_clip: Write, size: tuple[int, int]) -> None:
    raw = write_clip(1, size=size, options={"preset": "ultrafast"}).read_bytes()
    with thread_time_below(0.5):
        _refused(raw, f"{size[0]}x{size[1]}, the limit is")


def test_small_header_of_huge_frames_is_refused(write_clip: Write) -> None:
    """A file can announce any number of samples, and FFmpeg makes room for all of them."""
    samples = 80_000_000
    raw = bytearray(write_clip(10).read_bytes())
    struct.pack_into(">II", raw, raw.index(b"stsz") + 8, 1, samples)
    struct.pack_into(">I", raw, raw.index(b"stsc") + 16, samples)
    struct.pack_into(">II", raw, raw.index(b"stts") + 12, samples, 1)
    _refused(bytes(raw), f"{samples} packets or more, the limit is 1000000")
    raw = bytearray(write_clip(10, container=FRAGMENTS, options={"bf": "0"}).read_bytes())
    struct.pack_into(">II", raw, raw.index(b"trun") + 4, 1, samples)
    _refused(bytes(raw), "packets or more, the limit is 1000000")


def test_raw_audio_is_read_unless_its_chunks_are_huge(tmp_path: Path) -> None:
    path = tmp_path / "raw.mov"
    samples = np.zeros((1, 1_200_000), np.int16)
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=1)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        audio = out.add_stream("pcm_s16le", rate=48000, layout="mono")
        for _ in range(25):
            out.mux(video.encode(av.VideoFrame(64, 48, "yuv420p")))
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        frame.sample_rate, frame.pts = 48000, 0
        out.mux(audio.encode(frame))
        out.mux(video.encode(None))
    assert decode(path, PROFILE).frame_count == 25
    raw = bytearray(path.read_bytes())
    struct.pack_into(">I", raw, raw.index(b"stsc", raw.index(b"soun")) + 16, 2_000_000_000)
    _refused(bytes(raw), "packets or more, the limit is 1000000")


def test_samples_that_share_their_bytes_are_refused(write_clip: Write) -> None:
    raw = bytearray(write_clip(60, options={"bf": "0"}).read_bytes())
    sizes, chunks = raw.index(b"stsz") + 16, raw.index(b"stco") + 4
    first, offset = struct.unpack_from(">I", raw, sizes)[0], struct.unpack_from(">I", raw, chunks + 8)[0]
    struct.pack_into(">60I", raw, sizes, *[first] * 60)
    struct.pack_into(">I", raw, raw.index(b"stsc") + 16, 1)
    raw[chunks + 4 : chunks + 12] = struct.pack(">61I", 60, *[offset] * 60)
    for box in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stco"):
        place = raw.index(box) - 4
        struct.pack_into(">I", raw, place, struct.unpack_from(">I", raw, place)[0] + 59 * 4)
    with av.open(BytesIO(raw)) as container:
        assert sum(packet.size for packet in container.demux(video=0)) == 60 * first > len(raw)
    _refused(bytes(raw), f"the limit is {len(raw)}", VideoLimits(max_bytes=len(raw)))


@pytest.fixture
def web() -> Iterator[tuple[str, list[str]]]:
    """The address of a web server, and what it has been asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    server.server_close()
    thread.join()


def _playlist(segment: str) -> str:
    return f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:2,\n{segment}\n#EXT-X-ENDLIST\n"


def test_hls_playlist_is_refused(write_clip: Write, tmp_path: Path) -> None:
    segment = write_clip(30, suffix=".ts")
    path = tmp_path / "list.m3u8"
    path.write_text(_playlist(segment.name))
    with av.open(str(path)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 30
    _refused(path, "unknown or unsupported format")
    for reference in (segment.name, str(segment), f"file://{segment}", "file:///etc/passwd"):
        _refused(_playlist(reference).encode(), "unknown or unsupported format")


def test_playlist_opens_no_connection(tmp_path: Path, web: tuple[str, list[str]]) -> None:
    address, asked = web
    path = tmp_path / "list.m3u8"
    path.write_text(_playlist(f"{address}/segment.ts"))
    careless = {"protocol_whitelist": "file,http,tcp"}
    with pytest.raises(av.FFmpegError), av.open(str(path), container_options=careless):
        pass
    assert "/segment.ts" in asked
    asked.clear()
    _refused(path, "unknown or unsupported format")
    _refused(path.read_bytes(), "unknown or unsupported format")
    assert asked == []


def test_concat_script_is_refused(write_clip: Write, tmp_path: Path) -> None:
    clip = write_clip(30)
    path = tmp_path / "list.ffconcat"
    path.write_text(f"ffconcat version 1.0\nfile '{clip.name}'\n")
    with av.open(str(path)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 30
    _refused(path, "unknown or unsupported format")
    _refused(path.read_bytes(), "unknown or unsupported format")
    _refused(path.read_bytes().replace(clip.name.encode(), b"/etc/passwd"), "unknown or unsupported format")


def test_profile_is_checked_first(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="sampler 'none'"):
        decode(tmp_path / "none.mp4", FrameProfile(sampler="none"))
