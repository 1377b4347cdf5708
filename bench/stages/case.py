"""What a stage is given, which engines run it, and what each must return for its speed to count."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

TOKENISE, TEXT_TOWER, DECODE, VIDEO_TOWER = "tokenise", "text tower", "decode", "video tower"
SCORE, SCORE_AND_TOP, TOP_N = "score", "score+top-n", "top-n"
SCORING = (SCORE, SCORE_AND_TOP, TOP_N)
EAGER, COMPILED, ONNX, OURS, NATIVE = "torch eager", "torch.compile", "onnxruntime", "framesift", "native"
# How many texts, and how many videos.
TEXTS, VIDEOS, GALLERIES = (1, 8, 32), (1, 4), (1_000, 10_000)
TOP = 10

Run = Callable[[], Any]
Engines = dict[str, Run]


@dataclass(frozen=True)
class Spec:
    """A case before anything is made for it: ``batch`` texts or videos, against a gallery of ``videos``, if any."""

    stage: str
    batch: int
    videos: int | None = None

    def __str__(self) -> str:
        return f"{self.stage}, batch {self.batch}" + ("" if self.videos is None else f", {self.videos} videos")


@dataclass(frozen=True)
class Case:
    """Engines of one stage on the same inputs.

    Attributes:
        fault: says in words where an engine's output differs from eager float64 by more than it may, else None.
        baseline: the engine that the others are measured against.
    """

    spec: Spec
    engines: Mapping[str, Run]
    fault: Callable[[Any], str | None]
    baseline: str = EAGER


def specs(galleries: Sequence[int] = GALLERIES) -> list[Spec]:
    """Every case, in the order in which a search and an indexing pass through the stages."""
    return [
        *(Spec(stage, batch) for stage in (TOKENISE, TEXT_TOWER) for batch in TEXTS),
        *(Spec(stage, batch) for stage in (DECODE, VIDEO_TOWER) for batch in VIDEOS),
        *(Spec(stage, batch, size) for size in galleries for stage in SCORING for batch in TEXTS),
    ]
