"""What a gallery knows of a video beside its record."""

from __future__ import annotations

import json
from typing import NamedTuple

import numpy as np

from ...export.bundle.segments import WHOLE, Segment


class Fact(NamedTuple):
    """What is known of one record: ``duration`` of its film in seconds, ``metadata`` and how it is cut as JSON."""

    id: str
    source: str
    duration: float
    metadata: str
    segment: Segment = WHOLE
    cutting: str = ""

    def json(self) -> str:
        """What is known of the video as a JSON object, without the id; one that came as features has no duration.

        ``segments`` is there where the video has several, and ``cutting`` where it is known how it was cut.
        """
        count = self.segment.total
        told = f',"segments":{count}' if count > 1 else ""
        return self._told(told + (f',"cutting":{self.cutting}' if self.cutting else ""))

    def hit(self) -> str:
        """The same of a hit, with the number, start and end of its segment where the video has several."""
        number, count, start, end = self.segment
        times = f',"segment":{number},"start":{shortest(start)},"end":{shortest(end)}'
        return self._told(times if count > 1 else "")

    def _told(self, more: str) -> str:
        duration = json.dumps(shortest(self.duration) or None)
        return f'{{"source":{json.dumps(self.source)},"duration":{duration},"metadata":{self.metadata}{more}}}'


def shortest(seconds: float) -> float:
    """A float32 as the number with the fewest digits that stands for it: 12.3 and not 12.300000190734863."""
    return float(str(np.float32(seconds)))
