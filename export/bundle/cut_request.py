"""What a request for indexing says of the segments in its file, and which parts are decoded for that."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from .errors import InvalidRequest
from .limits import MAX_SEGMENT_BYTES
from .segments import Cutting, Segment
from .video.part import Part, Piece, check_parts

_LONGEST_DRAFT = 64
_WHOLE, _PIECE = 4, 6
# Of a piece what is each segment's own.
_EACH = ("first", "after")


@dataclass(frozen=True)
class CutRequest:
    """The segments of a file.

    Attributes:
        cutting: how its film is cut: whoever decodes it plans its segments, where ``parts`` are not told.
        parts: the segments of the film that this file has, all with the same draft: the film is in the gallery once
            all of its segments have come.
    """

    cutting: Cutting
    parts: Sequence[Part] = ()

    def json(self) -> str:
        """It as a JSON object."""
        told: dict[str, Any] = {"cutting": json.loads(self.cutting.json())}
        if self.parts:
            piece = self.parts[0].piece
            told["draft"] = self.parts[0].draft
            if piece is not None:
                told["piece"] = {name: value for name, value in asdict(piece).items() if name not in _EACH}
            told["segments"] = [[*(part.segment or ()), *_frames(part.piece)] for part in self.parts]
        return json.dumps(told, separators=(",", ":"))

    @staticmethod
    def parse(text: bytes) -> CutRequest:
        """What ``json`` wrote.

        Raises:
            InvalidRequest: something else, or more than a request may say.
        """
        if len(text) > MAX_SEGMENT_BYTES:
            raise InvalidRequest(f"the segments have {len(text)} bytes, the limit is {MAX_SEGMENT_BYTES}")
        try:
            told = json.loads(text)
            cutting = Cutting.of(told.pop("cutting"))
            rows = told.pop("segments", [])
            if not rows and told:
                raise ValueError(f"{next(iter(told))!r} without segments")
            return CutRequest(cutting, _parts(rows, cutting, told) if rows else ())
        except InvalidRequest:
            raise
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
            raise InvalidRequest(f"the segments can't be read: {str(error)[:100]}") from error

    def all(self, count: int, draft: str) -> list[Part]:
        """The parts of a film of so many segments."""
        return list(self.parts) or [Part(number, draft, self.cutting) for number in range(check_parts(count))]


def _frames(piece: Piece | None) -> tuple[int, ...]:
    return () if piece is None else (piece.first, piece.after)


def _parts(rows: Sequence[Any], cutting: Cutting, told: dict[str, Any]) -> list[Part]:
    draft = told.pop("draft")
    if not isinstance(draft, str) or not 1 <= len(draft) <= _LONGEST_DRAFT:
        raise ValueError("the draft must be a word")
    shared = told.pop("piece", None)
    if told:
        raise ValueError(f"{next(iter(told))!r} is unknown")
    found = []
    for row in rows:
        if len(row) != (_WHOLE if shared is None else _PIECE):
            raise ValueError("a segment is a list of its number, count, start and end")
        number, count, start, end, *frames = row
        segment = Segment(int(number), check_parts(int(count)), float(start), float(end))
        piece = None if shared is None else Piece.of({**shared, **dict(zip(_EACH, frames, strict=True))})
        found.append(Part(segment.number, draft, cutting, segment, piece))
    if len({part.number for part in found}) < len(found):
        raise ValueError("a segment comes twice")
    return found
