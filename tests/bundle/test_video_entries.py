"""Where decoding starts: every frame, decoded from the entry before it, is what decoding all of the file gives."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from fractions import Fraction
from itertools import product
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.video.frame import VideoFrame

from framesift.export.bundle.manifest import FrameProfile
from framesift.export.bundle.video.container import open_video
from framesift.export.bundle.video.decode import decode
from framesift.export.bundle.video.frame_reader import FrameReader
from framesift.export.bundle.video.limits import DEFAULT_LIMITS
from framesift.export.bundle.video.packet_index import FrameTable, read_index
from framesift.export.bundle.video.work import Work

Write = Callable[..., Path]
RATE = Fraction(25)


def _grey(frame: VideoFrame) -> np.ndarray:
    """A frame's brightness, which needs no conversion."""
    return frame.to_ndarray(format="gray").copy()


def _all_frames(path: Path) -> list[tuple[int | None, np.ndarray]]:
    """Times and pictures of all frames that FFmpeg shows."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        return [(frame.pts, _grey(frame)) for packet in container.demux(stream) for frame in packet.decode()]


def _check_every_frame(path: Path) -> FrameTable:
    expected = _all_frames(path)
    with open_video(path, Work(DEFAULT_LIMITS)) as video:
        index = read_index(video)
        table = index.table
        assert table is not None
        assert table.pts.tolist() == [time for time, _ in expected]
        for place, (_, picture) in enumerate(expected):
            found = FrameReader(video.decoder(), index, table, video.work).pictures([place], _grey)
            assert found is not None, place
            assert np.array_equal(found[place], picture), place
    return table


def _write(
    path: Path, template: Path, packets: Iterable[tuple[bytes, int, int]], extradata: bytes | None = None
) -> Path:
    """A file of other packets, with their times, for the stream of ``template``."""
    with av.open(str(template)) as container, av.open(str(path), "w") as out:
        source = container.streams.video[0]
        stream = out.add_stream_from_template(source)
        if extradata is not None:
            stream.codec_context.extradata = extradata
        for data, pts, dts in packets:
            packet = av.Packet(data)
            packet.stream, packet.time_base, packet.pts, packet.dts = stream, source.time_base, pts, dts
            packet.is_keyframe = True
            out.mux(packet)
    return path


def _packets(path: Path) -> list[tuple[bytes, int, int]]:
    with av.open(str(path)) as container:
        return [(bytes(p), p.pts, p.dts) for p in container.demux(video=0) if p.size and p.pts is not None]


def _usual(parameters: Iterable[str]) -> list[Any]:
    """Pictures that refer to one other; those that refer to four are left to the slow tests."""
    return [pytest.param(one, marks=[pytest.mark.slow] * ("ref=4" in one)) for one in parameters]


X264 = [
    f"bframes={bframes}:b-pyramid={pyramid}:ref={references}:weightp={weights}:open-gop={open_groups}"
    for bframes, pyramid, references, weights, open_groups in product((0, 3), ("none", "normal"), (1, 4), (2,), (0, 1))
]


@pytest.mark.parametrize("suffix", [".mp4", ".ts"])
@pytest.mark.parametrize("parameters", _usual(X264))
def test_h264_entries(write_clip: Write, parameters: str, suffix: str) -> None:
    options = {"x264-params": f"scenecut=0:keyint=12:min-keyint=12:{parameters}"}
    table = _check_every_frame(write_clip(60, suffix=suffix, options=options))
    assert len(table.entries) == 5


X265 = [f"bframes={b}:b-pyramid={p}:ref={r}:open-gop={o}" for b, p, r, o in product((0, 4), (0, 1), (1, 4), (0, 1))]


@pytest.mark.parametrize("suffix", [".mp4", ".ts"])
@pytest.mark.parametrize("parameters", _usual([*X265, "radl=2:open-gop=0", "temporal-layers=3", "intra-refresh=1"]))
def test_hevc_entries(write_clip: Write, parameters: str, suffix: str) -> None:
    options = {"x265-params": f"log-level=none:scenecut=0:keyint=12:min-keyint=12:{parameters}"}
    table = _check_every_frame(write_clip(40, suffix=suffix, codec="libx265", options=options))
    assert len(table.entries) == (1 if "intra-refresh" in parameters else 4)


OPEN = {
    "libx264": {"x264-params": "scenecut=0:keyint=12:min-keyint=12:bframes=3:open-gop=1:b-pyramid=normal"},
    "libx265": {"x265-params": "log-level=none:scenecut=0:keyint=12:min-keyint=12"},
}


@pytest.mark.parametrize("skipped", [1, 5, 12, 13, 30])
@pytest.mark.parametrize("suffix", [".mkv", ".ts"])
@pytest.mark.parametrize("codec", OPEN)
def test_recording_that_starts_anywhere(write_clip: Write, codec: str, suffix: str, skipped: int) -> None:
    """Pictures that refer to what is not there are not shown, nor are those that lead the first whole one."""
    whole = write_clip(60, codec=codec, options=OPEN[codec], suffix=suffix.replace(".mkv", ".mp4"))
    path = _write(whole.with_name(f"cut{suffix}"), whole, _packets(whole)[skipped:])
    table = _check_every_frame(path)
    assert 0 < len(table.pts) < 60
    clip = decode(path, FrameProfile(count=5, size=16))
    assert clip.frame_count == len(table.pts)
    assert clip.timestamps[0] >= 0


def _change_unit(packets: list[tuple[bytes, int, int]], place: int, old: int, new: int) -> None:
    """Another type of the HEVC slices of a packet."""
    data, pts, dts = packets[place]
    raw, start = bytearray(data), 0
    while start + 4 < len(raw):
        if raw[start + 4] >> 1 & 63 == old:
            raw[start + 4] = new << 1
        start += 4 + int.from_bytes(raw[start : start + 4], "big")
    packets[place] = bytes(raw), pts, dts


def _entry_places(path: Path) -> list[int]:
    with open_video(path, Work(DEFAULT_LIMITS)) as video:
        table = read_index(video).table
        assert table is not None
        return table.entries.tolist()


@pytest.mark.parametrize("kind", [16, 17, 18])
def test_pictures_that_lead_a_severed_one_are_not_shown(write_clip: Write, kind: int) -> None:
    """A file that was cut and joined has BLA pictures."""
    whole = write_clip(60, codec="libx265", options=OPEN["libx265"])
    packets, entries = _packets(whole), _entry_places(whole)
    _change_unit(packets, entries[2], 21, kind)
    table = _check_every_frame(_write(whole.with_name("joined.mp4"), whole, packets))
    assert len(table.entries) == len(entries)
    assert len(table.pts) < 60


def test_what_an_end_of_sequence_drops_is_not_counted(write_clip: Write) -> None:
    whole = write_clip(60, codec="libx265", options=OPEN["libx265"])
    packets, entries = _packets(whole), _entry_places(whole)
    data, pts, dts = packets[entries[2] - 1]
    packets[entries[2] - 1] = data + b"\0\0\0\2" + bytes([36 << 1, 1]), pts, dts
    path = _write(whole.with_name("ended.mp4"), whole, packets)
    shown = len(_all_frames(path))
    assert shown < 60
    assert decode(path, FrameProfile(count=5, size=16)).frame_count == shown


def _sets(extradata: bytes) -> bytes:
    """The parameter sets of an H.264 stream's configuration, each after its length in 4 bytes."""
    first = 8 + int.from_bytes(extradata[6:8], "big")
    second = first + 3
    picture = extradata[second : second + int.from_bytes(extradata[first + 1 : first + 3], "big")]
    return b"".join(len(one).to_bytes(4, "big") + one for one in (extradata[8:first], picture))


@pytest.mark.parametrize("repeated", [False, True], ids=["once", "at every entry"])
def test_parameter_sets_that_change_on_the_way(write_clip: Write, repeated: bool) -> None:
    """Without sets of its own no picture behind the change is an entry."""
    groups = "scenecut=0:keyint=12:min-keyint=12:bframes=2"
    first = write_clip(36, options={"x264-params": groups})
    second = write_clip(36, options={"x264-params": f"{groups}:cabac=0:8x8dct=0:ref=5"})
    entries = _entry_places(second)
    with av.open(str(second)) as container:
        extradata = container.streams.video[0].codec_context.extradata
        assert extradata is not None
    step = 512 * 36
    with av.open(str(second)) as container:
        assert container.streams.video[0].time_base == Fraction(1, 12800)
    packets = _packets(first)
    for place, (data, pts, dts) in enumerate(_packets(second)):
        new = _sets(extradata) if place == 0 or (repeated and place in entries) else b""
        packets.append((new + data, pts + step, dts + step))
    table = _check_every_frame(_write(first.with_name("changing.mp4"), first, packets))
    assert len(table.entries) == (6 if repeated else 4)


def test_large_files_are_read_again_instead_of_kept(write_clip: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_clip(60, options=OPEN["libx264"])
    profile: dict[str, Any] = {"size": 16, "count": 7}
    kept = decode(path, FrameProfile(**profile)).frames
    monkeypatch.setattr("framesift.export.bundle.video.packets._KEPT_BYTES", 1000)
    _check_every_frame(path)
    for sampler in ("uniform_middle", "segment_round"):
        decode(path, FrameProfile(sampler=sampler, **profile))
    assert np.array_equal(decode(path, FrameProfile(**profile)).frames, kept)
    avi = write_clip(40, suffix=".avi", codec="mpeg4", options={"bf": "2"})
    assert decode(avi, FrameProfile(**profile)).frame_count == 40
