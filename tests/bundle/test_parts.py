"""Segments of a film: their frames are those that decoding all of the film shows in their windows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from framesift.export.bundle.errors import InvalidRequest, InvalidVideo
from framesift.export.bundle.limits import MAX_SEGMENTS
from framesift.export.bundle.manifest import FrameProfile
from framesift.export.bundle.segments import Cutting, Segment
from framesift.export.bundle.video.cutting import pieces
from framesift.export.bundle.video.decode import decode
from framesift.export.bundle.video.film import Film
from framesift.export.bundle.video.limits import DEFAULT_LIMITS, VideoLimits
from framesift.export.bundle.video.part import Part, Piece
from framesift.export.bundle.video.profile import sample
from framesift.export.bundle.video.sandbox import Sandbox
from framesift.export.bundle.video.work import Work

from .clips import KINDS

Write = Callable[..., Path]
PROFILE = FrameProfile(count=3, size=16)
CUT = Cutting(1.0, 0.25)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as shared:
        yield shared


def every_frame(path: Path, count: int) -> tuple[np.ndarray, np.ndarray]:
    """All pictures of a video, in the order of display, and when they are shown."""
    video = decode(path, FrameProfile(count=count, size=16))
    assert video.frame_count == count
    return video.frames, video.timestamps


@pytest.mark.parametrize("kept", [True, False], ids=["packets kept", "packets sought"])
@pytest.mark.parametrize("kind", ["MP4", "HEVC", "Matroska", "WebM", "TS", "AVI", "FLV", "MPEG", "MP4 in fragments"])
def test_frames_of_every_segment_are_those_of_its_window(
    write_clip: Write, monkeypatch: pytest.MonkeyPatch, kind: str, kept: bool
) -> None:
    if not kept:
        monkeypatch.setattr("framesift.export.bundle.video.packets._KEPT_BYTES", 0)
        monkeypatch.setattr("framesift.export.bundle.video.packets._NEAR", 5)
    path = write_clip(90, **KINDS[kind])
    pictures, times = every_frame(path, 90)
    film = Film(path, Work(DEFAULT_LIMITS))
    numbers = list(range(len(CUT.windows(decode(path, PROFILE).duration))))
    assert len(numbers) == 5
    # In any order.
    for number in [*numbers, 0, 3, 1]:
        found = film.decode(PROFILE, Part(number, "a", CUT))
        start, end = found.segment[2:]
        inside = np.flatnonzero((times >= start) & (times < end))
        chosen = inside[sample(len(inside), 25.0, PROFILE)]
        assert np.array_equal(found.frames, pictures[chosen])
        assert np.allclose(found.timestamps, times[chosen])
        assert (found.frame_count, found.segment[:2]) == (len(inside), (number, 5))
        assert found.duration == pytest.approx(decode(path, PROFILE).duration)
    film.close()


def test_the_sandbox_gives_the_same_and_keeps_the_film_until_its_last_segment(
    write_clip: Write, sandbox: Sandbox
) -> None:
    path = write_clip(90, options={"g": "12", "bf": "2"})
    film = Film(path, Work(DEFAULT_LIMITS))
    for number in range(5):
        part = Part(number, "draft", CUT)
        wanted = film.decode(PROFILE, part)
        if number == 2:
            assert sandbox.decode(path, PROFILE).frame_count == 90
        found = sandbox.decode(path.read_bytes(), PROFILE, part)
        assert np.array_equal(found.frames, wanted.frames)
        assert np.array_equal(found.timestamps, wanted.timestamps)
        assert found.segment == wanted.segment
        assert found.duration == wanted.duration
    with pytest.raises(InvalidVideo, match="empty"):
        sandbox.decode(b"", PROFILE, Part(4, "draft", CUT))


def test_two_films_under_one_draft_are_not_taken_for_one_another(write_clip: Write, sandbox: Sandbox) -> None:
    films = [write_clip(90, size=size, options={"g": "12"}) for size in ((64, 48), (48, 64))]
    for number in range(2):
        for film in films:
            part, alone = Part(number, "film", CUT), Film(film, Work(DEFAULT_LIMITS))
            found = sandbox.decode(film.read_bytes(), PROFILE, part)
            assert np.array_equal(found.frames, alone.decode(PROFILE, part).frames)
            alone.close()


def test_a_picture_that_stands_through_a_segment_is_its_frame(write_clip: Write) -> None:
    path = write_clip(6, suffix=".mkv", milliseconds=[0, 40, 5000, 5040, 9000, 9040])
    film = Film(path, Work(DEFAULT_LIMITS))
    pictures, times = every_frame(path, 6)
    for number, frame in ((1, 1), (6, 3), (8, 3)):
        found = film.decode(
            FrameProfile(count=1, size=16), Part(number, "a", segment=Segment(number, 9, number, number + 1))
        )
        assert np.array_equal(found.frames[0], pictures[frame])
        assert found.timestamps.tolist() == [times[frame]]
    film.close()


def test_segments_that_can_t_be_are_refused(write_clip: Write) -> None:
    path = write_clip(4, rate=1)
    film = Film(path, Work(DEFAULT_LIMITS))
    with pytest.raises(InvalidVideo, match="a frame every 1 s, so segments of 0.5 s would have none"):
        film.decode(PROFILE, Part(0, "a", Cutting(0.5)))
    with pytest.raises(InvalidVideo, match="has 2 segments, and no 2"):
        film.decode(PROFILE, Part(2, "a", Cutting(2)))
    with pytest.raises(InvalidVideo, match="shows 4 frames, it should 5"):
        film.decode(PROFILE, Part(0, "a", segment=Segment(0, 2, 0, 1), piece=Piece(0, 4, 1, 5, 0, 2)))
    film.close()
    with pytest.raises(InvalidVideo, match="truncated"):
        Film(path.read_bytes()[:-100], Work(DEFAULT_LIMITS)).decode(PROFILE, Part(0, "a", Cutting(2)))
    with pytest.raises(InvalidVideo, match="lasts 4 s, the limit is 3 s"):
        Film(path, Work(VideoLimits(max_seconds=3))).decode(PROFILE, Part(0, "a", Cutting(2)))


@pytest.mark.parametrize(
    ("cutting", "duration", "windows"),
    [
        (Cutting(10), 30, [(0, 10), (10, 20), (20, 30)]),
        (Cutting(10), 31, [(0, 10), (10, 20), (20, 30), (21, 31)]),
        (Cutting(10, 5), 22, [(0, 10), (5, 15), (10, 20), (12, 22)]),
        (Cutting(10, 5), 10, [(0, 10)]),
        (Cutting(10, 5), 3.5, [(0, 3.5)]),
        (Cutting(0.1), 0.3, [(0, 0.1), (0.1, 0.2), (0.2, 0.3)]),
    ],
)
def test_windows_are_all_of_one_length_and_reach_the_end(
    cutting: Cutting, duration: float, windows: list[tuple[float, float]]
) -> None:
    assert cutting.windows(duration) == windows


def test_windows_begin_with_shots() -> None:
    cutting = Cutting(10, 2, shots=0.3)
    # A cut within a second of another, or of an end, is none.
    assert cutting.windows(40, [0.5, 4, 4.5, 28, 39.5]) == [(0, 4), (4, 14), (12, 22), (18, 28), (28, 38), (30, 40)]


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ((0.0,), "too short"),
        ((5, 5), "overlap must be less"),
        ((5, -1), "overlap must be less"),
        ((float("nan"),), "give a number"),
        (("5",), "give a number"),
        ((True,), "give a number"),
        ((5, 1, 1.0), "0 to 1"),
    ],
)
def test_a_cutting_that_can_t_be_is_refused(values: tuple[float, ...], told: str) -> None:
    with pytest.raises(InvalidRequest, match=told):
        Cutting(*values)


def test_too_many_segments_are_refused() -> None:
    assert len(Cutting(1).windows(MAX_SEGMENTS)) == MAX_SEGMENTS
    with pytest.raises(InvalidVideo, match="would have 4097 segments, the limit is 4096"):
        Cutting(1).windows(MAX_SEGMENTS + 1)
    with pytest.raises(InvalidVideo, match="segments, the limit"):
        Cutting(100, 99.99).windows(4 * 3600)


def test_a_film_cut_otherwise_has_another_digest() -> None:
    film = bytes(32)
    digests = {Cutting(*values).digest(film) for values in ((30,), (30, 5), (20, 5), (30, 5, 0.3))}
    assert len({film, *digests}) == 5
    assert Cutting(30, 5).digest(film) == Cutting(30.0, 5.0).digest(film)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"number":"x","draft":""}', '{"number":0,"draft":"","cutting":{}}'])
def test_a_part_that_can_t_be_read_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest):
        Part.parse(text)
    piece = Piece(0.5, 2.5, 25.0, 10, 1, 3, (0, 1, 0, -1, 0, 0, 0, 0, 1))
    part = Part(3, "a", Cutting(30, 5), Segment(3, 4, 1.5, 2.5), piece)
    assert Part.parse(part.json()) == part


@pytest.mark.parametrize("kind", ["MP4", "HEVC", "Matroska", "WebM", "TS", "FLV", "MP4 in fragments"])
def test_pieces_of_a_film_show_the_frames_of_its_segments(write_clip: Write, sandbox: Sandbox, kind: str) -> None:
    kinds = {**KINDS, "WebM": {**KINDS["WebM"], "options": {"cpu-used": "8", "g": "12"}}}
    path = write_clip(150, **kinds[kind])
    pictures, times = every_frame(path, 150)
    film = Film(path, Work(DEFAULT_LIMITS))
    found = list(pieces(path, CUT, "draft", 64_000 + path.stat().st_size // 2))
    assert len(found) > 1
    assert [part.number for piece in found for part in piece.parts] == list(range(8))
    for piece in found:
        assert len(piece.data) <= 64_000 + path.stat().st_size // 2
        for part in piece.parts:
            assert part.segment is not None
            start, end = part.segment[2:]
            inside = np.flatnonzero((times >= start) & (times < end))
            got = sandbox.decode(piece.data, PROFILE, part)
            assert np.array_equal(got.frames, pictures[inside[sample(len(inside), 25.0, PROFILE)]])
            whole = film.decode(PROFILE, Part(part.number, "a", CUT))
            assert np.array_equal(got.frames, whole.frames)
            assert np.allclose(got.timestamps, whole.timestamps, atol=1e-3)
            assert got.segment == whole.segment
            assert got.duration == pytest.approx(whole.duration)
    film.close()


def test_a_film_that_can_t_be_cut_is_not(write_clip: Write) -> None:
    with pytest.raises(InvalidVideo, match="don't tell where it can be cut"):
        next(pieces(write_clip(60, **KINDS["AVI"]), CUT, "a", 1 << 20))
    with pytest.raises(InvalidVideo, match="an upload at most 70000: make its segments shorter"):
        next(pieces(write_clip(200, options={"g": "200"}), CUT, "a", 70_000))


def test_a_part_of_a_film_that_is_not_there_is_refused(tmp_path: Path, sandbox: Sandbox) -> None:
    with pytest.raises(InvalidVideo):
        sandbox.decode(tmp_path / "absent.mp4", PROFILE, Part(0, "film", CUT))
