"""What a gallery knows of a video beside its record."""

from __future__ import annotations

import json
from typing import NamedTuple

import numpy as np


class Fact(NamedTuple):
    """What is known of one video: ``duration`` in seconds, ``metadata`` as the text of a JSON object."""

    id: str
    source: str
    duration: float
    metadata: str

    def json(self) -> str:
        """The fact as a JSON object, without the id; a video that came as features has no duration."""
        duration = json.dumps(shortest(self.duration) or None)
        return f'{{"source":{json.dumps(self.source)},"duration":{duration},"metadata":{self.metadata}}}'


def shortest(seconds: float) -> float:
    """A float32 as the number with the fewest digits that stands for it: 12.3 and not 12.300000190734863."""
    return float(str(np.float32(seconds)))
