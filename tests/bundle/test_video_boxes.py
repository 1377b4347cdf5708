"""MP4 boxes: what is not known is skipped, and no box hides a table from the check that FFmpeg would read."""

from __future__ import annotations

import random
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import av
import numpy as np
import pytest

from framesift.export.bundle.errors import InvalidVideo
from framesift.export.bundle.manifest import FrameProfile
from framesift.export.bundle.video.decode import decode

from .mp4_files import (
    BOMBS,
    SAMPLES,
    Box,
    assemble,
    behind_description,
    box,
    in_description,
    lying_file,
    lying_tables,
    lying_track,
    parse,
)

Write = Callable[..., Path]
PROFILE = FrameProfile(count=4, size=16)
MILLION = "packets or more, the limit is 1000000"


@pytest.fixture
def plain(write_clip: Write) -> bytes:
    return write_clip(30, options={"g": "10"}).read_bytes()


def _check_same(raw: bytes, plain: bytes) -> None:
    found, wanted = decode(raw, PROFILE), decode(plain, PROFILE)
    assert found.frame_count == wanted.frame_count == 30
    assert found.duration == pytest.approx(wanted.duration)
    assert np.array_equal(found.frames, wanted.frames)


@pytest.mark.parametrize("place", ["first", "before the index", "before the data", "last"])
@pytest.mark.parametrize("kind", [b"frea", b"gps0", b"imda", b"meco", b"bloc", b"\xa9xyz", b"skip", b"\0\1\2\3"])
@pytest.mark.parametrize("front", [False, True], ids=["index behind", "index in front"])
def test_unknown_box_is_skipped(plain: bytes, kind: bytes, place: str, front: bool) -> None:
    top = {part.kind: part for part in parse(plain)}
    order = [b"ftyp", b"moov", b"mdat"] if front else [b"ftyp", b"mdat", b"moov"]
    parts: list[Box | bytes] = [top[name] for name in order]
    where = {"first": 0, "before the index": order.index(b"moov"), "before the data": order.index(b"mdat"), "last": 3}
    body = random.Random(repr((kind, place))).randbytes(1000)
    parts.insert(where[place], box(kind, body, long=kind == b"gps0"))
    _check_same(assemble(parts, plain), plain)


@pytest.mark.parametrize("kind", [b"frea", b"imda", b"meco", b"gps ", b"\xa9xyz", b"skip"])
@pytest.mark.parametrize("size", [1_100_000, 3_000_000])
def test_large_box_in_front_hides_no_format(plain: bytes, kind: bytes, size: int) -> None:
    """FFmpeg guesses a format by the first megabyte."""
    _check_same(assemble([box(kind, random.Random(size).randbytes(size)), *parse(plain)], plain), plain)


@pytest.mark.parametrize("seed", range(8))
def test_boxes_stand_in_any_order(plain: bytes, seed: int) -> None:
    shuffled = random.Random(seed)
    parts: list[Box | bytes] = [part for part in parse(plain) if part.kind != b"free"]
    for part in parts:
        if isinstance(part, Box) and part.kind == b"moov":
            track = part.find(b"trak", b"mdia", b"minf", b"stbl")
            shuffled.shuffle(track.children)
            for inner in (part, part.find(b"trak"), track):
                inner.children.insert(shuffled.randrange(len(inner.children) + 1), Box(b"abcd", shuffled.randbytes(40)))
    for _ in range(3):
        kind = bytes(shuffled.choices(range(97, 123), k=4))
        parts.insert(shuffled.randrange(len(parts) + 1), box(kind, shuffled.randbytes(shuffled.randrange(2000))))
    _check_same(assemble(parts, plain), plain)


def test_last_box_may_reach_to_the_end(plain: bytes) -> None:
    raw = bytearray(assemble([part for part in parse(plain) if part.kind in (b"ftyp", b"moov", b"mdat")], plain))
    top = {part.kind: part for part in parse(bytes(raw))}
    raw = bytearray(assemble([top[b"ftyp"], top[b"moov"], top[b"mdat"]], bytes(raw)))
    place = raw.rindex(b"mdat") - 4
    raw[place : place + 4] = bytes(4)
    _check_same(bytes(raw), plain)


def test_index_in_free_space_is_found(plain: bytes) -> None:
    """Some editors leave the index in a box of free space; FFmpeg looks there where there is no other."""
    _check_same(plain.replace(b"moov", b"free"), plain)
    _check_same(plain.replace(b"moov", b"hoov"), plain)


def test_old_index_in_free_space_counts_for_nothing(plain: bytes) -> None:
    old = lying_file(lying_track(b"".join(lying_tables(SAMPLES).values())), index=b"free")[28:]
    _check_same(assemble([*parse(plain), old], plain), plain)


@pytest.mark.parametrize("raw", BOMBS.values(), ids=BOMBS.keys())
def test_announced_samples_are_refused_wherever_they_stand(raw: bytes) -> None:
    with pytest.raises(InvalidVideo, match=f"{SAMPLES} {MILLION}"):
        decode(raw, PROFILE)


# Names of the boxes that FFmpeg's MOV reader knows, and of some that it doesn't.
_KNOWN = (
    b"ACLR APRG AALP ARES avss av1C chpl co64 colr ctts dinf DpxE dref edts elst enda fiel adrm ftyp glbl "
    b"hdlr ilst jp2h mdat mdhd mdia meta minf moof moov mvex mvhd alac avcC pasp sidx stbl stco stps strf "
    b"stsc stsd stss stts sdtp tkhd tfdt tfhd trak traf tref tmcd chap trex udta wave esds dac3 dec3 ddts "
    b"wide wfex chan chnl dvc1 sgpd sbgp hvcC vvcC uuid free ---- sinf frma senc saiz saio pssh schm schi "
    b"tenc dfLa st3d sv3d dOps dmlp SmDm CoLL vpcC mdcv clli dvcC dvvC dvwC kind SA3D SAND iloc pcmC pitm "
    b"evcC iref ispe iprp iinf vexu eyes hfov proj prji grpl altr skip gpmd frea "
).split()


def _ffmpeg_index(raw: bytes) -> int:
    """For how many samples FFmpeg makes room."""
    try:
        with av.open(BytesIO(raw)) as container:
            return max((len(stream.index_entries) for stream in container.streams), default=0)
    except av.FFmpegError:
        return 0


@pytest.mark.parametrize("kind", _KNOWN, ids=lambda kind: kind.decode())
def test_what_ffmpeg_reads_is_checked(kind: bytes) -> None:
    """Every sample that FFmpeg makes room for was counted before it was asked to."""
    tables = lying_tables(1_000_001)
    rest = b"".join(tables[name] for name in (b"stsd", b"stts", b"stsc", b"stco"))
    for head in (0, 4, 8):
        raw = lying_file(lying_track(rest + box(kind, bytes(head) + tables[b"stsz"])))
        if _ffmpeg_index(raw) > 1_000_000:
            with pytest.raises(InvalidVideo, match=MILLION):
                decode(raw, PROFILE)


@pytest.mark.parametrize("hide", [in_description, behind_description])
def test_tables_of_a_sample_description_are_what_ffmpeg_reads(hide: Callable[[dict[bytes, bytes]], bytes]) -> None:
    assert _ffmpeg_index(lying_file(lying_track(hide(lying_tables(1000))))) == 1000
