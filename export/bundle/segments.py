"""Cutting a film into segments: where they begin and end, and which of them a record is of."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, NamedTuple

from .errors import InvalidRequest, InvalidVideo
from .limits import MAX_SEGMENTS

# A shot that is shorter than this joins the one after it: its few pictures would be a record of their own.
_SHORTEST_SHOT_S = 1.0
_SHORTEST_S = 0.1
# What of a picture has to change for a shot to begin, where nobody says otherwise.
SHOTS = 0.3
# Ends of windows are told to the microsecond, so that the same window is the same text.
DIGITS = 6
# Characters of a cutting as JSON, and more.
_LONGEST = 256

Span = tuple[float, float]


class Segment(NamedTuple):
    """The part of a film that a record is of: ``number`` of ``total``, from 0, and ``start`` and ``end`` in seconds."""

    number: int = 0
    total: int = 1
    start: float = 0.0
    end: float = 0.0


WHOLE = Segment()


@dataclass(frozen=True)
class Cutting:
    """How films are cut.

    Attributes:
        seconds: of a segment, but of those that shots end before.
        overlap: seconds that a segment shares with the one before it, less than ``seconds``.
        shots: how much of a picture has to change for a shot to begin, 0 to 1, see ``video.shots``; 0 where segments
            don't begin with shots.

    Raises:
        InvalidRequest: a value of another type, or out of its range.
    """

    seconds: float
    overlap: float = 0.0
    shots: float = 0.0

    def __post_init__(self) -> None:
        for name in ("seconds", "overlap", "shots"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
                raise InvalidRequest(f"the segments' {name} is {value!r:.60}: give a number")
            object.__setattr__(self, name, float(value))
        if self.seconds < _SHORTEST_S:
            raise InvalidRequest(f"segments of {self.seconds:g} s are too short: {_SHORTEST_S:g} s is the least")
        if not 0 <= self.overlap < self.seconds:
            raise InvalidRequest(
                f"segments of {self.seconds:g} s can't overlap by {self.overlap:g} s: the overlap must be less than a "
                "segment, and not below 0"
            )
        if not 0 <= self.shots < 1:
            raise InvalidRequest(f"shots begin where a share of the picture changes, 0 to 1, not {self.shots:g}")

    def windows(self, duration: float, cuts: Sequence[float] = ()) -> list[Span]:
        """Where the segments of a film begin and end, in its seconds.

        They are ``seconds`` long, and so is the last one, which begins earlier instead of being shorter; what is
        shorter as a whole is one segment. Where there are ``cuts``, the same holds between two of them.

        Raises:
            InvalidVideo: there would be more than ``MAX_SEGMENTS``.
        """
        ends = [*_spread(cuts, duration), duration]
        step = self.seconds - self.overlap
        count = sum(max(1, math.ceil((length - self.overlap) / step)) for length in _lengths(ends))
        if count > MAX_SEGMENTS:
            raise InvalidVideo(
                f"the film of {duration:.0f} s would have {count} segments, the limit is {MAX_SEGMENTS}: make them "
                "longer"
            )
        found: list[Span] = []
        begin = 0.0
        for end in ends:
            found += self._within(begin, end)
            begin = end
        return found

    def digest(self, film: bytes) -> bytes:
        """What stands for a film cut so, from its SHA-256: another one once it is cut otherwise."""
        return content_digest(film, self.json())

    def to_dict(self) -> dict[str, float]:
        """It as JSON's types."""
        return {"seconds": self.seconds, "overlap": self.overlap, **({"shots": self.shots} if self.shots else {})}

    def json(self) -> str:
        """It as a JSON object, the same for equal ones."""
        return json.dumps(self.to_dict(), separators=(",", ":"))

    def words(self) -> str:
        """It for a person, behind a number of segments."""
        overlap = f", overlapping by {self.overlap:g} s" if self.overlap else ""
        return f"of {self.seconds:g} s{overlap}{', begun by shots' if self.shots else ''}"

    @staticmethod
    def of(values: Any) -> Cutting:
        """The cutting of a JSON object's values.

        Raises:
            InvalidRequest: it has other fields, or values that can't be.
        """
        if not isinstance(values, dict) or "seconds" not in values or values.keys() - {"seconds", "overlap", "shots"}:
            raise InvalidRequest('segments are written {"seconds": 30, "overlap": 5}')
        return Cutting(**values)

    @staticmethod
    def parse(text: str) -> Cutting:
        """What ``json`` wrote.

        Raises:
            InvalidRequest: something else; the same written otherwise, too, because the digest is of the text.
        """
        try:
            found = Cutting.of(json.loads(text[:_LONGEST]))
        except InvalidRequest:
            raise
        except (ValueError, RecursionError) as error:
            raise InvalidRequest(f"how a film is cut can't be read: {str(error)[:100]}") from error
        if found.json() != text:
            raise InvalidRequest(f"how a film is cut is written {found.json()}, not {text[:_LONGEST]}")
        return found

    def _within(self, begin: float, end: float) -> list[Span]:
        step, found = self.seconds - self.overlap, list[Span]()
        while True:
            start = begin + len(found) * step
            if start + self.seconds >= end - 10.0**-DIGITS:
                return [*found, (round(max(begin, end - self.seconds), DIGITS), round(end, DIGITS))]
            found.append((round(start, DIGITS), round(start + self.seconds, DIGITS)))


def cut_digest(film: bytes | None, cutting: Cutting | None) -> bytes | None:
    """What stands for a film in a gallery, from its SHA-256: that itself where it is not cut."""
    return None if film is None else content_digest(film, cutting_text(cutting))


def content_digest(film: bytes, cutting: str) -> bytes:
    """The same, from the text that says how it is cut: empty where it is not."""
    return hashlib.sha256(film + cutting.encode()).digest() if cutting else film


def cutting_text(cutting: Cutting | None) -> str:
    """How a film is cut as a gallery keeps it: as JSON, empty where it is not."""
    return "" if cutting is None else cutting.json()


def _spread(cuts: Sequence[float], duration: float) -> list[float]:
    """Those cuts that leave every shot some length."""
    found: list[float] = []
    for cut in sorted(cuts):
        if cut - (found[-1] if found else 0.0) >= _SHORTEST_SHOT_S and duration - cut >= _SHORTEST_SHOT_S:
            found.append(cut)
    return found


def _lengths(ends: Sequence[float]) -> list[float]:
    return [end - begin for begin, end in zip([0.0, *ends[:-1]], ends, strict=True)]
