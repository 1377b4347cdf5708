"""Decoding chosen frames gives exactly what decoding every frame gives."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.filter
import numpy as np
import pytest

from framesift.export.bundle.manifest import FrameProfile
from framesift.export.bundle.video.container import open_video
from framesift.export.bundle.video.decode import decode
from framesift.export.bundle.video.decoded_video import DecodedVideo
from framesift.export.bundle.video.limits import DEFAULT_LIMITS
from framesift.export.bundle.video.packet_index import PacketIndex, read_index
from framesift.export.bundle.video.resizing import pil_bicubic
from framesift.export.bundle.video.sampling import uniform_middle
from framesift.export.bundle.video.work import Work

SIZE = 32
Write = Callable[..., Path]


def _every_frame(path: Path) -> tuple[list[np.ndarray], list[float]]:
    """All frames, uint8 RGB [H, W, 3], and their times in seconds from the first."""
    pictures, times = [], []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        for packet in container.demux(stream):
            try:
                frames = packet.decode()
            except av.FFmpegError:
                continue
            for frame in frames:
                pictures.append(_rgb(frame))
                times.append(float(frame.pts * stream.time_base))
    return pictures, [time - times[0] for time in times]


def _rgb(frame: av.VideoFrame) -> np.ndarray:
    """A frame in RGB as FFmpeg's own filter converts it."""
    graph = av.filter.Graph()
    last = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, 1000))
    for name, options in (("scale", "flags=bicubic"), ("format", "rgb24"), ("buffersink", "")):
        following = graph.add(name, options)
        last.link_to(following)
        last = following
    graph.configure()
    graph.push(frame)
    return graph.pull().to_ndarray()


def _check_equal(path: Path, *counts: int) -> DecodedVideo:
    pictures, times = _every_frame(path)
    for count in counts:
        clip = decode(path, FrameProfile(count=count, size=SIZE))
        chosen = uniform_middle(len(pictures), 25.0, count)
        chosen += chosen[-1:] * (count - len(chosen))
        expected = np.stack([pil_bicubic(np.ascontiguousarray(pictures[place]), SIZE) for place in chosen])
        assert clip.frame_count == len(pictures)
        assert np.array_equal(clip.frames, expected)
        assert np.allclose(clip.timestamps, [times[place] for place in chosen])
        assert clip.frames.dtype == np.uint8
        assert clip.timestamps.dtype == np.float64
    return clip


def _index(path: Path) -> PacketIndex:
    with open_video(path, Work(DEFAULT_LIMITS)) as video:
        return read_index(video)


def _x264(parameters: str) -> dict[str, Any]:
    return {"options": {"x264-params": "scenecut=0:" + parameters}}


_UNEVEN = np.cumsum(np.random.default_rng(1).integers(5, 200, 60)).tolist()
_GROUPS = "keyint=12:min-keyint=12"

# Streams of which the packets tell enough, and at how many of their packets decoding can start.
INDEXED = {
    "constant rate, one group": (_x264("keyint=250:bframes=3"), 1),
    "no B-frames": (_x264(f"{_GROUPS}:bframes=0"), 5),
    "B-frames": (_x264(f"{_GROUPS}:bframes=3"), 5),
    "B-pyramid": (_x264("keyint=30:bframes=8:ref=6:b-pyramid=normal"), 2),
    "only keyframes": (_x264("keyint=1"), 60),
    "open groups": (_x264(f"{_GROUPS}:bframes=3:open-gop=1"), 5),
    "gradual refresh": (_x264("keyint=10:intra-refresh=1:bframes=0"), 1),
    "variable rate": (_x264(f"{_GROUPS}:bframes=3") | {"milliseconds": _UNEVEN}, 5),
    "late start": (_x264(f"{_GROUPS}:bframes=3") | {"milliseconds": [t + 5000 for t in _UNEVEN]}, 5),
    "Matroska": (_x264(f"{_GROUPS}:bframes=3") | {"suffix": ".mkv"}, 5),
    "Matroska, negative start": (
        _x264(f"{_GROUPS}:bframes=3") | {"suffix": ".mkv", "milliseconds": [t - 900 for t in _UNEVEN]},
        5,
    ),
    "fragments": (
        _x264(f"{_GROUPS}:bframes=3") | {"container": {"movflags": "frag_keyframe+empty_moov"}},
        5,
    ),
    "MPEG-TS": (_x264(f"{_GROUPS}:bframes=3") | {"suffix": ".ts"}, 5),
    "MPEG-TS, open groups": (_x264(f"{_GROUPS}:bframes=3:open-gop=1") | {"suffix": ".ts"}, 5),
    "FLV": (_x264(f"{_GROUPS}:bframes=3") | {"suffix": ".flv"}, 5),
    "Motion JPEG in AVI": ({"suffix": ".avi", "codec": "mjpeg", "pixels": "yuvj420p"}, 60),
    "JPEG 2000": ({"suffix": ".mkv", "codec": "jpeg2000"}, 60),
    "ProRes": ({"suffix": ".mov", "codec": "prores", "pixels": "yuv422p10le"}, 60),
    "odd size": (_x264(_GROUPS) | {"size": (67, 45), "pixels": "yuv444p"}, 5),
    "HEVC, open groups": (
        {"codec": "libx265", "options": {"x265-params": "keyint=12:scenecut=0:log-level=none"}, "count": 40},
        4,
    ),
    "HEVC, closed groups": (
        {
            "codec": "libx265",
            "options": {"x265-params": "keyint=10:open-gop=0:scenecut=0:log-level=none"},
            "count": 40,
        },
        4,
    ),
    "VP9 with hidden frames": (
        {
            "codec": "libvpx-vp9",
            "suffix": ".webm",
            "options": {"g": "15", "auto-alt-ref": "1", "lag-in-frames": "12", "cpu-used": "8"},
            "count": 45,
        },
        3,
    ),
}


@pytest.mark.parametrize(("video", "entries"), INDEXED.values(), ids=INDEXED.keys())
def test_indexed_stream_equals_full_decode(write_clip: Write, video: dict[str, Any], entries: int) -> None:
    path = write_clip(**video)
    table = _index(path).table
    assert table is not None
    assert len(table.entries) == entries
    _check_equal(path, 1, 3, 12)


# Streams of which only decoding tells how many frames there are.
WHOLE = {
    "MPEG-4 in AVI": {"suffix": ".avi", "codec": "mpeg4", "options": {"bf": "2", "g": "12"}},
    "MPEG-4, odd size": {"codec": "mpeg4", "size": (67, 45)},
    "MPEG program stream": {"suffix": ".mpg", "codec": "mpeg2video", "options": {"bf": "2"}},
    "VP8 with hidden frames": {
        "suffix": ".webm",
        "codec": "libvpx",
        "options": {"g": "30", "auto-alt-ref": "1", "lag-in-frames": "10", "cpu-used": "5"},
    },
    "WMV": {"suffix": ".wmv", "codec": "wmv2"},
    "GIF": {"suffix": ".gif", "codec": "gif", "pixels": "rgb8", "rate": 10},
}


@pytest.mark.parametrize("video", WHOLE.values(), ids=WHOLE.keys())
def test_other_stream_equals_full_decode(write_clip: Write, video: dict[str, Any]) -> None:
    path = write_clip(**video)
    assert _index(path).table is None
    _check_equal(path, 1, 12)


def test_palettes_that_change_on_the_way(tmp_path: Path) -> None:
    path, rng = tmp_path / "palettes.avi", np.random.default_rng(3)
    with av.open(str(path), "w") as out:
        stream = out.add_stream("rawvideo", rate=25)
        stream.width, stream.height, stream.pix_fmt = 48, 32, "pal8"
        palette = np.full((256, 4), 255, np.uint8)
        for number in range(20):
            # A file says it where it changes, and not again with every picture.
            if number % 7 == 0:
                palette[:, 1:] = rng.integers(0, 256, (256, 3))
            picture = rng.integers(0, 256, (32, 48)).astype(np.uint8)
            out.mux(stream.encode(av.VideoFrame.from_ndarray((picture, palette), format="pal8")))
        out.mux(stream.encode(None))
    _check_equal(path, 1, 3, 12)


@pytest.mark.parametrize("fields", ["tff=1", "fake-interlaced=1"])
def test_interlaced_stream_equals_full_decode(write_clip: Write, fields: str) -> None:
    _check_equal(write_clip(**_x264(f"{_GROUPS}:{fields}")), 1, 12)


def test_frames_that_an_edit_list_cuts_are_not_counted(write_clip: Write) -> None:
    path = write_clip(**_x264(f"{_GROUPS}:bframes=3"), milliseconds=[40 * n - 1000 for n in range(60)])
    index = _index(path)
    assert index.table is not None
    assert index.packets.count > index.shown == 35
    _check_equal(path, 3, 12)


def test_frame_that_cannot_be_decoded_is_left_out(write_clip: Write) -> None:
    path = write_clip(**_x264("keyint=250:bframes=3"))
    spoiled = path.read_bytes()
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    packet = packets[30]
    assert packet.pos is not None
    path.write_bytes(spoiled[: packet.pos + 4] + b"\xff" * (packet.size - 4) + spoiled[packet.pos + packet.size :])
    pictures, _ = _every_frame(path)
    assert len(pictures) == 59
    _check_equal(path, 3, 12)


def test_bytes_give_what_the_path_gives(write_clip: Write) -> None:
    path = write_clip()
    profile = FrameProfile(size=SIZE)
    assert np.array_equal(decode(path.read_bytes(), profile).frames, decode(path, profile).frames)


@pytest.mark.parametrize("count", [1, 2, 11])
def test_short_video_repeats_its_last_frame(write_clip: Write, count: int) -> None:
    clip = _check_equal(write_clip(count), 12)
    assert np.array_equal(clip.timestamps[count - 1 :], np.full(13 - count, (count - 1) / 25))
    assert all(np.array_equal(frame, clip.frames[count - 1]) for frame in clip.frames[count:])


def test_times_count_from_the_first_frame(write_clip: Write) -> None:
    clip = decode(write_clip(milliseconds=[700 + t for t in _UNEVEN]), FrameProfile(size=SIZE))
    chosen = uniform_middle(60, 25.0, 12)
    assert np.allclose(clip.timestamps, [(_UNEVEN[place] - _UNEVEN[0]) / 1000 for place in chosen])
    assert clip.duration > (_UNEVEN[-1] - _UNEVEN[0]) / 1000
    assert decode(write_clip(50), FrameProfile(size=SIZE)).duration == pytest.approx(2.0)


def test_decoding_uses_one_thread(write_clip: Write) -> None:
    with open_video(write_clip(5), Work(DEFAULT_LIMITS)) as video:
        assert video.stream.codec_context.thread_count == 1


class _Planned(Work):
    """Keeps what was planned."""

    def plan(self, pixels: int) -> None:
        self.planned = pixels
        super().plan(pixels)


def test_seeking_skips_work(write_clip: Write) -> None:
    # Three frames of a video with an entry every 5 frames need at most 3 x 5 of its 60; with one entry, 51.
    profile = FrameProfile(count=3, size=SIZE)
    frames = {}
    for keyint in (5, 250):
        path, work = write_clip(**_x264(f"keyint={keyint}:min-keyint=5:bframes=0")), _Planned(DEFAULT_LIMITS)
        assert decode(path, profile, work=work).frame_count == 60
        frames[keyint] = work.planned / (64 * 48)
    assert frames[5] <= 15
    assert frames[250] == 50
