"""One comparison of a graph with eager PyTorch: its numbers, their limits, and how they are shown."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from .bundle.errors import BundleError, ParityError

# Largest RMS of the error, relative to the RMS of the reference. Float32 towers of 12 to 24 layers come out near 1e-6;
# a wrong weight, mask or length shows as 1e-2 and more.
RMS_LIMIT = 2e-5
MAX_LIMIT = 2e-4
# Share of the reference's ten best videos that the graphs must find.
OVERLAP_LIMIT = 0.99
# Pairs that may keep another set of frames, because two logits lie closer than rounding.
SWAP_LIMIT = 1e-3


@dataclass(frozen=True)
class Row:
    """One comparison. Errors are relative to the reference's RMS; ``overlap`` is the top-10 overlap, if any."""

    stage: str
    max_error: float
    rms_error: float
    overlap: float | None = None
    swaps: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether every number lies within its limit; NaN does not."""
        close = self.max_error <= MAX_LIMIT and self.rms_error <= RMS_LIMIT
        return close and (self.overlap is None or self.overlap >= OVERLAP_LIMIT) and self.swaps <= SWAP_LIMIT

    def as_json(self) -> dict[str, Any]:
        """For the manifest."""
        return {**asdict(self), "ok": self.ok}


def row(stage: str, got: NDArray[Any], want: Tensor, **more: float) -> Row:
    """Compare an array with its float64 reference of the same shape.

    Where that is zero throughout, as an untrained head's scalars are, the error is not relative to anything.
    """
    reference = want.detach().numpy()
    scale = float(np.sqrt(np.mean(reference**2))) or 1.0
    error = np.abs(got - reference) / scale
    return Row(stage, float(error.max()), float(np.sqrt(np.mean(error**2))), **more)


def demand(rows: Sequence[Row]) -> None:
    """Raise ParityError, naming each stage that breaches its limits."""
    worst = [row for row in rows if not row.ok]
    if worst:
        listing = "; ".join(f"{r.stage}: max {r.max_error:.1e}, RMS {r.rms_error:.1e}" for r in worst)
        raise ParityError(f"the graphs disagree with eager PyTorch: {listing}")


def rows_of(recorded: Sequence[Mapping[str, Any]]) -> list[Row]:
    """The rows that a manifest recorded.

    Raises:
        BundleError: they are none.
    """
    try:
        rows = [Row(**{key: value for key, value in row.items() if key != "ok"}) for row in recorded]
        if all(isinstance(row.stage, str) and math.isfinite(row.rms_error) for row in rows):
            return rows
    except TypeError:
        pass
    raise BundleError("the manifest's comparisons with eager PyTorch can't be read: export it again")


def table(rows: Sequence[Row]) -> str:
    """The rows as aligned text."""
    head = ("stage", "max error", "RMS error", "top-10", "swaps", "")
    cells = [
        (
            row.stage,
            f"{row.max_error:.1e}",
            f"{row.rms_error:.1e}",
            "" if row.overlap is None else f"{row.overlap:.4f}",
            f"{row.swaps:.1e}" if row.swaps else "",
            "ok" if row.ok else "BREACH",
        )
        for row in rows
    ]
    widths = [max(len(line[i]) for line in (head, *cells)) for i in range(len(head))]
    return "\n".join(
        "  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in (head, *cells)
    )
