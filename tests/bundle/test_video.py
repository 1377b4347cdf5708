"""Decoding chosen frames gives exactly what decoding every frame gives."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from framesift.export.bundle.errors import InvalidVideo
from framesift.export.bundle.manifest import FrameProfile
from framesift.export.bundle.video.container import open_video
from framesift.export.bundle.video.decode import DecodedVideo, decode
from framesift.export.bundle.video.limits import DEFAULT_LIMITS, VideoLimits
from framesift.export.bundle.video.packet_index import PacketIndex, read_index
from framesift.export.bundle.video.resizing import pil_bicubic
from framesift.export.bundle.video.sampling import uniform_middle

SIZE = 32
Write = Callable[..., Path]


def _every_frame(path: Path) -> tuple[list[np.ndarray], list[float]]:
    """All frames as displayed, uint8 RGB [H, W, 3], and their times in seconds from the first."""
    pictures, times = [], []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        for packet in container.demux(stream):
            try:
                frames = packet.decode()
            except av.FFmpegError:
                continue
            for frame in frames:
                pictures.append(np.rot90(frame.to_ndarray(format="rgb24"), frame.rotation // 90))
                times.append(float(frame.pts * stream.time_base))
    return pictures, [time - times[0] for time in times]


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
    with open_video(path, DEFAULT_LIMITS) as video:
        return read_index(video, DEFAULT_LIMITS)[0]


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
    "open groups": (_x264(f"{_GROUPS}:bframes=3:open-gop=1"), 1),
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
    "odd size": (_x264(_GROUPS) | {"size": (67, 45), "pixels": "yuv444p"}, 5),
    "HEVC, open groups": (
        {"codec": "libx265", "options": {"x265-params": "keyint=12:log-level=none"}, "count": 40},
        1,
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
    "MPEG-TS": _x264(f"{_GROUPS}:bframes=3") | {"suffix": ".ts"},
    "FLV": _x264(f"{_GROUPS}:bframes=3") | {"suffix": ".flv"},
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


@pytest.mark.parametrize("fields", ["tff=1", "fake-interlaced=1"])
def test_interlaced_stream_equals_full_decode(write_clip: Write, fields: str) -> None:
    _check_equal(write_clip(**_x264(f"{_GROUPS}:{fields}")), 1, 12)


def test_frames_that_an_edit_list_cuts_are_not_counted(write_clip: Write) -> None:
    path = write_clip(**_x264(f"{_GROUPS}:bframes=3"), milliseconds=[40 * n - 1000 for n in range(60)])
    index = _index(path)
    assert index.table is not None
    assert len(index.packets) > index.shown == 35
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


@pytest.mark.parametrize(
    ("matrix", "turns"),
    [((0, 1, -1, 0), 3), ((-1, 0, 0, -1), 2), ((0, -1, 1, 0), 1)],
    ids=["90", "180", "270"],
)
def test_display_matrix_is_honoured(write_clip: Write, matrix: tuple[int, ...], turns: int) -> None:
    path = write_clip(20)
    upright = decode(path, FrameProfile(size=SIZE)).frames
    raw = bytearray(path.read_bytes())
    a, b, c, d = (value << 16 for value in matrix)
    struct.pack_into(">9i", raw, raw.index(b"tkhd") + 44, a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(raw)
    clip = _check_equal(path, 12)
    # Resizing goes along one side first and rounds in between, so turning before or after differs a little.
    assert np.abs(clip.frames - np.rot90(upright, turns, axes=(2, 3)).astype(int)).mean() < 1


def test_colours_follow_the_tagged_colour_space(write_clip: Write) -> None:
    plain = decode(write_clip(5), FrameProfile(count=1, size=SIZE)).frames.astype(int)
    tags = {"options": {"x264-params": "colormatrix=bt709:colorprim=bt709:transfer=bt709"}}
    tagged = decode(write_clip(5, **tags), FrameProfile(count=1, size=SIZE)).frames.astype(int)
    assert np.abs(plain - tagged).max() > 5


def test_decoding_uses_one_thread(write_clip: Write) -> None:
    with open_video(write_clip(5), DEFAULT_LIMITS) as video:
        assert video.stream.codec_context.thread_count == 1


def test_seeking_skips_work(write_clip: Write) -> None:
    # Three frames of a video with an entry every 5 frames need at most 3 x 5 of its 60; with one entry, 51.
    enough = VideoLimits(max_decoded_pixels=15 * 64 * 48)
    profile = FrameProfile(count=3, size=SIZE)
    assert decode(write_clip(**_x264("keyint=5:min-keyint=5:bframes=0")), profile, enough).frame_count == 60
    with pytest.raises(InvalidVideo, match=r"50 frames of 64x48 would have to be decoded.*more keyframes"):
        decode(write_clip(**_x264("keyint=250:bframes=0")), profile, enough)
