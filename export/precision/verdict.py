"""What a precision costs in ranking: the numbers, their limits, and their text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..bundle.errors import PrecisionError

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class GateLimits:
    """``overlap``: least share of the float32 graphs' ten best videos; ``recall_loss``: most points of R@1 lost."""

    overlap: float = 0.99
    recall_loss: float = 0.3


@dataclass(frozen=True)
class StageError:
    """The RMS error of what leaves a stage, relative to the RMS in float32; infinite where a number is not finite.

    ``jump`` is by how much it exceeds the largest error before it, that and one per cent taken as the measure.
    """

    graph: str
    stage: str
    error: float
    jump: float


@dataclass(frozen=True)
class Verdict:
    """A candidate against the float32 graphs over a calibration set.

    ``errors`` has the largest relative RMS error of any row by ``graph.output``. ``recall`` and ``recall_float32`` are
    R@1 in per cent.
    """

    precision: str
    origin: str
    videos: int
    overlap: float
    recall: float
    recall_float32: float
    errors: Mapping[str, float]
    stages: tuple[StageError, ...] = ()
    limits: GateLimits = field(default_factory=GateLimits)

    @property
    def recall_loss(self) -> float:
        """Points of R@1 lost; negative where the candidate ranks better."""
        return self.recall_float32 - self.recall

    @property
    def ok(self) -> bool:
        """Whether both limits hold and every number is finite."""
        finite = all(np.isfinite(error) for error in self.errors.values())
        # Points are counted in whole captions, whose share is no exact binary number.
        kept = self.recall_loss <= self.limits.recall_loss + 1e-9
        return bool(finite and self.overlap >= self.limits.overlap and kept)

    @property
    def worst(self) -> StageError | None:
        """The stage at which the error jumps: of those with the largest jump the first."""
        return max(self.stages, key=lambda stage: stage.jump, default=None)

    def as_json(self) -> dict[str, Any]:
        """For a manifest. JSON has no infinity: 1e308 stands for it."""
        values = asdict(self)
        for part in (values["errors"], *values["stages"]):
            for key, value in part.items():
                if isinstance(value, float) and not np.isfinite(value):
                    part[key] = 1e308
        return {**values, "recall_loss": self.recall_loss, "ok": self.ok}

    def describe(self) -> str:
        """The numbers in one line."""
        errors = ", ".join(f"{name} {error:.1e}" for name, error in self.errors.items())
        return (
            f"{self.precision} over {self.videos} videos of the {self.origin}: top-10 overlap {self.overlap:.4f} "
            f"(at least {self.limits.overlap:g}), R@1 {self.recall:.1f} instead of {self.recall_float32:.1f} "
            f"(at most {self.limits.recall_loss:g} less), relative errors {errors}"
        )


def demand(verdict: Verdict) -> None:
    """Raise PrecisionError with the numbers and the stage where the error jumps, unless the verdict is good."""
    if verdict.ok:
        return
    worst = verdict.worst
    where = "" if worst is None else f". The error jumps at {worst.stage} of the {worst.graph}: {worst.error:.1e}"
    raise PrecisionError(f"the ranking suffers in {verdict.describe()}{where}")


def recall(scores: Floats) -> float:
    """R@1 in per cent of scores [N, N] whose diagonal is right; equals count against, and so does NaN."""
    own = np.diagonal(scores)[:, None]
    beaten = (~(scores < own)).sum(1) > 1
    return float(100 * np.mean(~beaten & np.isfinite(own[:, 0])))


def relative_error(got: Floats, want: Floats) -> float:
    """RMS of the difference over RMS of ``want``; infinite where ``got`` is not finite."""
    if not np.isfinite(got).all():
        return float("inf")
    wide = want.astype(np.float64)
    return float(np.sqrt(np.mean((got - wide) ** 2) / max(float(np.mean(wide**2)), 1e-60)))
