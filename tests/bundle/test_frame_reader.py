"""What the segments of a film share is decoded once, and their frames are those that each alone would have."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from framesift.export.bundle.manifest import FrameProfile
from framesift.export.bundle.segments import Cutting
from framesift.export.bundle.video.cutting import pieces
from framesift.export.bundle.video.film import Film
from framesift.export.bundle.video.limits import DEFAULT_LIMITS, VideoLimits
from framesift.export.bundle.video.part import Part
from framesift.export.bundle.video.work import Work

from .clips import KINDS

Write = Callable[..., Path]
PROFILE = FrameProfile(count=4, size=16)
FRAMES = 150


class Counted:
    """A decoder that counts the packets that it is given, and what it is given them for.

    Attributes:
        packets: how many.
        starts: how often it began anew.
    """

    def __init__(self, context: Any) -> None:
        self._context, self.packets, self.starts = context, 0, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    def decode(self, packet: Any) -> Any:
        self.packets += packet is not None
        return self._context.decode(packet)

    def flush_buffers(self) -> None:
        self.starts += 1
        self._context.flush_buffers()


def _counted(source: Path | bytes, limits: VideoLimits = DEFAULT_LIMITS) -> tuple[Film, Counted]:
    film = Film(source, Work(limits))
    film._context = Counted(film._context)
    return film, film._context


def _alone(source: Path | bytes, part: Part, profile: FrameProfile = PROFILE) -> tuple[Any, ...]:
    film = Film(source, Work(DEFAULT_LIMITS))
    found = _values(film, part, profile)
    film.close()
    return found


def _values(film: Film, part: Part, profile: FrameProfile = PROFILE) -> tuple[Any, ...]:
    found = film.decode(profile, part)
    return found.frames.tobytes(), found.timestamps.tolist(), found.duration, found.frame_count, found.segment


@pytest.mark.parametrize("cutting", [Cutting(0.4), Cutting(0.5, 0.4), Cutting(2.0, 1.3)], ids=str)
@pytest.mark.parametrize("kind", ["MP4", "HEVC", "Matroska", "WebM", "TS", "FLV"])
def test_segments_in_a_row_are_those_that_are_decoded_alone(write_clip: Write, kind: str, cutting: Cutting) -> None:
    path = write_clip(FRAMES, **KINDS[kind])
    film, counted = _counted(path)
    first = film.decode(PROFILE, Part(0, "a", cutting))
    for number in range(1, first.segment.total):
        part = Part(number, "a", cutting)
        assert _values(film, part) == _alone(path, part), number
    film.close()
    # Few are decoded twice: those of the group in which the last segment begins.
    assert counted.packets < FRAMES + 30


@pytest.mark.parametrize("cutting", [Cutting(0.2), Cutting(0.4, 0.2), Cutting(0.5, 0.4)], ids=str)
@pytest.mark.parametrize("bidirectional", ["0", "2"])
def test_a_film_of_one_key_frame_is_decoded_once(write_clip: Write, cutting: Cutting, bidirectional: str) -> None:
    path = write_clip(FRAMES, options={"g": "1000", "sc_threshold": "0", "bf": bidirectional})
    film, counted = _counted(path)
    total = film.decode(PROFILE, Part(0, "a", cutting)).segment.total
    for number in range(1, total):
        film.decode(PROFILE, Part(number, "a", cutting))
    film.close()
    assert (counted.starts, counted.packets <= FRAMES) == (1, True)


def test_pieces_with_an_overlap_are_decoded_once(write_clip: Write) -> None:
    path = write_clip(FRAMES, options={"g": "50", "bf": "2"})
    most = path.stat().st_size // 2 + 66_000
    for piece in pieces(path, Cutting(0.4, 0.2), "a", most):
        film, counted = _counted(piece.data)
        for part in piece.parts:
            assert _values(film, part) == _alone(piece.data, part)
        film.close()
        assert counted.packets <= FRAMES


def test_segments_in_any_order_and_for_two_profiles_are_right(write_clip: Write) -> None:
    path, cutting = write_clip(FRAMES, options={"g": "40", "bf": "2"}), Cutting(1.0, 0.5)
    film, profiles = Film(path, Work(DEFAULT_LIMITS)), (PROFILE, FrameProfile(count=7, size=24))
    for number in (0, 2, 1, 3, 3, 10, 9, 5, 4, 6, 0):
        for profile in profiles:
            part = Part(number, "a", cutting)
            assert _values(film, part, profile) == _alone(path, part, profile), number
    film.close()


def test_no_more_pictures_are_kept_than_there_is_memory_for(write_clip: Write) -> None:
    path, cutting = write_clip(FRAMES, options={"g": "1000"}), Cutting(2.0, 1.9)
    # Five pictures.
    film, counted = _counted(path, VideoLimits(max_memory=8 * 5 * 3 * 16 * 16))
    for number in range(40):
        part = Part(number, "a", cutting)
        assert _values(film, part) == _alone(path, part), number
        (decoder,) = film._decoders
        assert decoder.reader is not None
        assert len(decoder.reader._held) <= 8
    film.close()
    assert counted.starts > 5
    assert np.isfinite(counted.packets)
