"""Pictures as they are shown: turned, mirrored and coloured as the ``ffmpeg`` command does it."""

from __future__ import annotations

import itertools
import math
import struct
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from av.bitstream import BitStreamFilterContext

from framesift.export.bundle.manifest import FrameProfile
from framesift.export.bundle.video.container import open_video
from framesift.export.bundle.video.decode import decode
from framesift.export.bundle.video.limits import DEFAULT_LIMITS
from framesift.export.bundle.video.pictures import Pictures
from framesift.export.bundle.video.structure import Matrix
from framesift.export.bundle.video.work import Work

from .mp4_files import Box, assemble, box, parse

Write = Callable[..., Path]
Shown = Callable[..., np.ndarray]
PROFILE = FrameProfile(count=3, size=32)
ONE, SMALL = 1 << 16, 1 << 30
WIDTH, HEIGHT = 64, 48
# Corners of the picture in reading order, by the matrix' first two rows: a b, c d.
CORNERS = {
    (1, 0, 0, 1): "RGBW",
    (-1, 0, 0, 1): "GRWB",
    (1, 0, 0, -1): "BWRG",
    (-1, 0, 0, -1): "WBGR",
    (0, 1, -1, 0): "BRWG",
    (0, -1, 1, 0): "GWRB",
    (0, 1, 1, 0): "RBGW",
    (0, -1, -1, 0): "WGBR",
}


@pytest.fixture
def corners(tmp_path: Path) -> bytes:
    """Ten frames with a red, a green, a blue and a white quarter."""
    picture = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    picture[: HEIGHT // 2, : WIDTH // 2, 0] = picture[: HEIGHT // 2, WIDTH // 2 :, 1] = 255
    picture[HEIGHT // 2 :, : WIDTH // 2, 2] = picture[HEIGHT // 2 :, WIDTH // 2 :] = 255
    picture[HEIGHT // 2 :, : WIDTH // 2, :2] = 0
    path = tmp_path / "corners.mp4"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=25, options={"crf": "10"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for _ in range(10):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode(None))
    return path.read_bytes()


def _letters(picture: np.ndarray) -> str:
    """The colours of a picture's corners [H, W, 3], in reading order."""
    names = {(1, 0, 0): "R", (0, 1, 0): "G", (0, 0, 1): "B", (1, 1, 1): "W"}
    return "".join(names[tuple((picture[y, x] > 128).astype(int))] for y in (2, -3) for x in (2, -3))


def _all_letters(raw: bytes | Path) -> set[str]:
    return {_letters(frame.transpose(1, 2, 0)) for frame in decode(raw, PROFILE).frames}


def _rows(a: float, b: float, c: float, d: float) -> Matrix:
    return (int(a * ONE), int(b * ONE), 0, int(c * ONE), int(d * ONE), 0, 0, 0, SMALL)


def _with_matrix(raw: bytes, track: Matrix, movie: Matrix | None = None, *, long: bool = False) -> bytes:
    """A file with other matrices, its track's header with times of 32 bits or of 64."""
    parts: list[Box | bytes] = [*parse(raw)]
    moov = next(part for part in parts if isinstance(part, Box) and part.kind == b"moov")
    header = moov.find(b"trak", b"tkhd")
    body = header.body[:40] + struct.pack(">9i", *track) + header.body[76:]
    if long:
        made, changed, number, _, duration = struct.unpack_from(">5I", body, 4)
        body = b"\1" + body[1:4] + struct.pack(">QQIIQ", made, changed, number, 0, duration) + body[24:]
    header.body = body
    if movie is not None:
        moov.find(b"mvhd").body = moov.find(b"mvhd").body[:36] + struct.pack(">9i", *movie) + bytes(28)
    return assemble(parts, raw)


@pytest.mark.parametrize(("rows", "letters"), CORNERS.items(), ids=CORNERS.values())
@pytest.mark.parametrize("long", [False, True], ids=["32 bits", "64 bits"])
def test_pictures_are_turned_and_mirrored(corners: bytes, rows: tuple[int, ...], letters: str, long: bool) -> None:
    assert _all_letters(_with_matrix(corners, _rows(*rows), long=long)) == {letters}
    assert _all_letters(_with_matrix(corners, _rows(1, 0, 0, 1), _rows(*rows), long=long)) == {letters}


def test_matrices_of_track_and_movie_are_multiplied(corners: bytes) -> None:
    for (first, letters), (second, others) in itertools.product(CORNERS.items(), CORNERS.items()):
        a, b = np.array(first).reshape(2, 2), np.array(second).reshape(2, 2)
        product = CORNERS[tuple((a @ b).ravel().tolist())]
        raw = _with_matrix(corners, _rows(*first), _rows(*second))
        assert _all_letters(raw) == {product}, (letters, others)


def _every_picture(path: Path) -> np.ndarray:
    with open_video(path, Work(DEFAULT_LIMITS)) as video:
        pictures = Pictures(video.matrix, DEFAULT_LIMITS)
        frames = (frame for packet in video.demux(again=False) for frame in video.context.decode(packet))
        return np.stack([pictures.rgb(frame).copy() for frame in frames])


TURNS = {
    **{f"corners {letters}": _rows(*rows) for rows, letters in CORNERS.items()},
    **{
        f"{angle} degrees": _rows(
            *(f(math.radians(angle)) for f in (math.cos, math.sin, lambda a: -math.sin(a), math.cos))
        )
        for angle in (1, 30, 45, 89, 91, 135, 179, 200, 271, 315, 359)
    },
    "twice as large": _rows(2, 0, 0, 2),
    "slanted": _rows(1, 0.5, 0, 1),
    "mirrored and slanted": _rows(-1, 0.25, 0.25, 1),
    "of no height": _rows(1, 0, 0, 0),
    "nothing": (0,) * 9,
}


@pytest.mark.parametrize("matrix", TURNS.values(), ids=TURNS.keys())
def test_pictures_equal_those_of_ffmpeg(tmp_path: Path, corners: bytes, ffmpeg: Shown, matrix: Matrix) -> None:
    path = tmp_path / "turned.mp4"
    path.write_bytes(_with_matrix(corners, matrix))
    found = _every_picture(path)
    assert np.array_equal(found, ffmpeg(path, found.shape[2], found.shape[1]))


@pytest.mark.parametrize(
    ("angle", "turned"),
    [(30, True), (45, True), (0.2, False), (359.8, False)],
)
def test_only_odd_angles_leave_black_corners(tmp_path: Path, corners: bytes, angle: float, turned: bool) -> None:
    path = tmp_path / "turned.mp4"
    cosine, sine = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    path.write_bytes(_with_matrix(corners, _rows(cosine, sine, -sine, cosine)))
    pictures = _every_picture(path)
    assert pictures.shape == (10, HEIGHT, WIDTH, 3)
    assert (pictures[:, 0, 0].max() < 40) == turned


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
@pytest.mark.parametrize("rows", CORNERS, ids=CORNERS.values())
def test_own_reading_of_the_matrix_equals_ffmpeg(write_clip: Write, codec: str, rows: tuple[int, ...]) -> None:
    options = {"x265-params": "log-level=none"} if codec == "libx265" else {}
    path = write_clip(3, codec=codec, options=options)
    path.write_bytes(_with_matrix(path.read_bytes(), _rows(*rows), _rows(0, 1, -1, 0)))
    with open_video(path, Work(DEFAULT_LIMITS)) as video, av.open(str(path)) as container:
        told = next(container.decode(video=0)).side_data.get("DISPLAYMATRIX")
        assert video.matrix == (None if told is None else struct.unpack("<9i", bytes(told)))


def test_orientation_in_a_stream_does_not_turn_some_of_its_pictures(tmp_path: Path, corners: bytes) -> None:
    """An SEI message turns single pictures, if one takes it at its word: players of its time knew nothing of it."""
    plain, turned = tmp_path / "plain.mp4", tmp_path / "turned.mp4"
    plain.write_bytes(corners)
    with av.open(str(plain)) as container, av.open(str(turned), "w") as out:
        stream = out.add_stream_from_template(container.streams.video[0])
        insert = BitStreamFilterContext(
            "h264_metadata=display_orientation=insert:rotate=90", container.streams.video[0]
        )
        for number, packet in enumerate(container.demux(video=0)):
            for part in insert.filter(packet) if number == 0 else [packet]:
                if part.size:
                    part.stream = stream
                    out.mux(part)
    with av.open(str(turned)) as container:
        assert len({frame.rotation for frame in container.decode(video=0)}) == 2
    for count in (1, 2, 10):
        frames = decode(turned, FrameProfile(count=count, size=32, sampler="segment_round")).frames
        assert {_letters(frame.transpose(1, 2, 0)) for frame in frames} == {"RGBW"}


def _with_colours(raw: bytes, primaries: int, transfer: int, matrix: int, full_range: int = 0) -> bytes:
    """A file whose sample description says how its colours are meant."""
    parts: list[Box | bytes] = [*parse(raw)]
    moov = next(part for part in parts if isinstance(part, Box) and part.kind == b"moov")
    description = moov.find(b"trak", b"mdia", b"minf", b"stbl", b"stsd")
    entry = description.body[8:] + box(
        b"colr", b"nclx" + struct.pack(">3HB", primaries, transfer, matrix, full_range << 7)
    )
    description.body = description.body[:8] + struct.pack(">I", len(entry)) + entry[4:]
    return assemble(parts, raw)


# Codes of colour matrices (ISO 23091-2), reserved ones among them, and beyond.
@pytest.mark.parametrize("matrix", [*range(1, 24), 200])
def test_every_colour_matrix_gives_a_picture(tmp_path: Path, write_clip: Write, matrix: int) -> None:
    raw = write_clip(2).read_bytes()
    unknown = _every_picture(_file(tmp_path, _with_colours(raw, 2, 2, 2)))
    found = _every_picture(_file(tmp_path, _with_colours(raw, 2, 2, matrix)))
    # 5 and 6 are what unknown colours are taken for, and FCC comes close to it.
    assert np.array_equal(found, unknown) == (matrix not in (1, 4, 7, 9, 10))


@pytest.mark.parametrize("matrix", range(1, 18))
def test_colours_equal_those_of_ffmpeg(tmp_path: Path, write_clip: Write, ffmpeg: Shown, matrix: int) -> None:
    raw = write_clip(2).read_bytes()
    for full_range in (0, 1):
        path = _file(tmp_path, _with_colours(raw, 1, 1, matrix, full_range))
        assert np.array_equal(_every_picture(path), ffmpeg(path, WIDTH, HEIGHT))


@pytest.mark.parametrize("code", [0, 3, 9, 16, 18, 19, 23, 255])
def test_other_colour_tags_change_nothing(tmp_path: Path, write_clip: Write, code: int) -> None:
    raw = write_clip(2).read_bytes()
    found = _every_picture(_file(tmp_path, _with_colours(raw, code, code, 1)))
    assert np.array_equal(found, _every_picture(_file(tmp_path, _with_colours(raw, 1, 1, 1))))


def _file(folder: Path, raw: bytes) -> Path:
    path = folder / "coloured.mp4"
    path.write_bytes(raw)
    return path


FORMATS = {
    "yuv420p": {},
    "yuv422p": {},
    "yuv444p": {},
    "yuv420p10le": {},
    "yuv422p10le": {},
    "yuv444p10le": {},
    "gray": {},
    "interlaced": {"pixels": "yuv420p", "options": {"x264-params": "tff=1"}},
    "interlaced, 10 bits": {"pixels": "yuv422p10le", "options": {"x264-params": "tff=1"}},
    "Motion JPEG": {"pixels": "yuvj420p", "codec": "mjpeg"},
    "odd size": {"pixels": "yuv420p", "codec": "mpeg4", "size": (67, 45)},
}


@pytest.mark.parametrize("name", FORMATS)
def test_formats_equal_those_of_ffmpeg(write_clip: Write, ffmpeg: Shown, name: str) -> None:
    options = {"pixels": name, **FORMATS[name]}
    size = options.get("size", (WIDTH, HEIGHT))
    path = write_clip(4, suffix=".mkv", **options)
    assert np.array_equal(_every_picture(path), ffmpeg(path, *size))
