"""Which part of a film is to be decoded, and which of its frames are in it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import InvalidRequest, InvalidVideo
from ..limits import MAX_SEGMENTS
from ..segments import DIGITS, Cutting, Segment, Span
from .structure import Matrix


@dataclass(frozen=True)
class Piece:
    """What a file is of its film, where it has some of the film's packets alone.

    Attributes:
        offset: seconds of the film before the file's first frame.
        duration: seconds of the film.
        rate: frames of the film a second, on average.
        shown: frames that the file shows.
        first, after: the segment's first frame among them, and the one after its last.
        matrix: how the film's pictures are turned and mirrored for display; None if not at all.
    """

    offset: float
    duration: float
    rate: float
    shown: int
    first: int
    after: int
    matrix: Matrix | None = None

    @staticmethod
    def of(values: Mapping[str, Any]) -> Piece:
        """A piece of its values as JSON has them.

        Raises:
            ValueError, TypeError, LookupError: they are others.
        """
        offset, duration, rate = (float(values[name]) for name in ("offset", "duration", "rate"))
        shown, first, after = (int(values[name]) for name in ("shown", "first", "after"))
        matrix = values.get("matrix")
        turned = None if matrix is None else tuple(int(number) for number in matrix)
        finite = all(map(math.isfinite, (offset, duration, rate)))
        if not finite or rate <= 0 or len(turned or range(9)) != 9:
            raise ValueError("a piece of a film has numbers that can't be")
        return Piece(offset, duration, rate, shown, first, after, turned)


@dataclass(frozen=True)
class Part:
    """One segment of a film.

    Attributes:
        number: its own, from 0.
        draft: a word for all segments of one film that come together.
        cutting: how the film is cut.
        segment: where it begins and ends, where the sender knows that; else it follows from the film's duration.
        piece: what the file is of the film, where it is not all of it.
    """

    number: int
    draft: str
    cutting: Cutting | None = None
    segment: Segment | None = None
    piece: Piece | None = None

    def json(self) -> str:
        """It as a JSON object."""
        told: dict[str, Any] = {"number": self.number, "draft": self.draft}
        if self.cutting is not None:
            told["cutting"] = json.loads(self.cutting.json())
        if self.segment is not None:
            told["segment"] = list(self.segment)
        if self.piece is not None:
            told["piece"] = asdict(self.piece)
        return json.dumps(told, separators=(",", ":"))

    @staticmethod
    def parse(text: str) -> Part:
        """What ``json`` wrote.

        Raises:
            InvalidRequest: something else.
        """
        try:
            told = json.loads(text)
            cutting, segment, piece = (told.get(name) for name in ("cutting", "segment", "piece"))
            return Part(
                int(told["number"]),
                str(told["draft"]),
                None if cutting is None else Cutting.of(cutting),
                None if segment is None else Segment(int(segment[0]), int(segment[1]), *map(float, segment[2:])),
                None if piece is None else Piece.of(piece),
            )
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
            raise InvalidRequest(f"the part of a film can't be read: {str(error)[:100]}") from error

    @property
    def key(self) -> str:
        """Of the file: the same for all segments that are decoded of it."""
        return self.draft if self.piece is None else f"{self.draft} {self.piece.offset}"

    def found(self, seconds: npt.NDArray[np.float64], duration: float) -> tuple[Segment, int, int]:
        """Where the segment begins and ends, its first frame, and the one after its last.

        A frame is in a segment if it is first shown in it; where none is, the one that is on display then.

        Args:
            seconds: float64 [N], when each frame of the file is first shown, ascending.
            duration: of the file.

        Raises:
            InvalidVideo: there is no such segment, or the file is not what was told of it.
        """
        if self.piece is not None:
            if self.segment is None or len(seconds) != self.piece.shown:
                raise InvalidVideo(f"a piece of the film shows {len(seconds)} frames, it should {self.piece.shown}")
            if not 0 <= self.piece.first < self.piece.after <= len(seconds):
                raise InvalidVideo(f"a piece of the film has no frames {self.piece.first} to {self.piece.after}")
            return self.segment, self.piece.first, self.piece.after
        segment = self.segment or self._planned(seconds, duration)
        first, after = frames_within(seconds, segment.start, segment.end)
        return segment, first, after

    def following(self, segment: Segment, duration: float) -> Iterator[Span]:
        """Where the segments lie that begin before this one's end, if the film goes on as it is cut.

        Where shots begin is not known here, so other segments may come; then what was done for these is for nothing.

        Args:
            segment: this one.
            duration: of the film.
        """
        if (cutting := self.cutting) is None:
            return
        for number in range(1, segment.total - segment.number):
            start = segment.start + number * (cutting.seconds - cutting.overlap)
            # The last one begins earlier instead of being shorter.
            start = round(min(start, duration - cutting.seconds), DIGITS)
            if start >= segment.end:
                return
            yield start, min(start + cutting.seconds, duration)

    def _planned(self, seconds: npt.NDArray[np.float64], duration: float) -> Segment:
        assert self.cutting is not None
        check_spacing(self.cutting, len(seconds), duration)
        windows = _windows(self.cutting, duration)
        if not 0 <= self.number < len(windows):
            raise InvalidVideo(f"the film of {duration:.1f} s has {len(windows)} segments, and no {self.number}")
        return Segment(self.number, len(windows), *windows[self.number])


@lru_cache(maxsize=2)
def _windows(cutting: Cutting, duration: float) -> Sequence[Span]:
    """Of a film, which are asked for anew for each of its segments."""
    return cutting.windows(duration)


def frames_within(seconds: npt.NDArray[np.float64], start: float, end: float) -> tuple[int, int]:
    """The first frame of a window and the one after its last, at least one."""
    first, after = (int(np.searchsorted(seconds, time, side="left")) for time in (start, end))
    return (first, after) if after > first else (max(0, first - 1), max(1, first))


def check_spacing(cutting: Cutting, frames: int, duration: float) -> None:
    """Refuse segments that are shorter than a film's frames are apart.

    Raises:
        InvalidVideo: they are.
    """
    spacing = duration / max(1, frames)
    if cutting.seconds < spacing and frames > 1:
        raise InvalidVideo(
            f"the film shows a frame every {spacing:.2g} s, so segments of {cutting.seconds:g} s would have none of "
            f"their own: make them {math.ceil(spacing)} s or longer"
        )


def check_parts(count: int) -> int:
    """The number of a film's segments itself.

    Raises:
        InvalidRequest: none, or more than ``MAX_SEGMENTS``.
    """
    if not 1 <= count <= MAX_SEGMENTS:
        raise InvalidRequest(f"a film has 1 to {MAX_SEGMENTS} segments, not {count}")
    return count
