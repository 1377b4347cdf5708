"""The compiled certified search (``csrc/certified.h``), by ctypes."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import numpy.typing as npt

from ...library import Library
from ...walk import Rows, WalkJob
from ..biases import Biases
from ..layout import SCALARS, HeadShape
from ..native import Job, TopKScan
from ..operands import Floats, GalleryVectors, TextVectors
from .integers import planes
from .records import LONGEST, MOST_STEPS, StepVectors
from .turn import turned

# ``asked`` in csrc/asked.h.
ASKED = np.dtype(
    [
        ("scale", np.float32, 2),
        ("offset", np.uint32, 2),
        ("norm", np.float32, 2),
        ("square", np.float32, 3),
        ("rounding", np.float32),
        ("slack", np.float32, 2),
        ("tau", np.float32, SCALARS),
        ("biases", np.float32, 2),
        ("spare", np.float32, 2),
    ]
)
_GAVE_UP = 2


class Certified(ctypes.Structure):
    """``certified`` in csrc/asked.h."""

    _fields_ = (
        ("exact", ctypes.POINTER(Job)),
        *((name, ctypes.c_void_p) for name in ("steps", "side", "planes", "floats", "asked")),
        *((name, ctypes.c_void_p) for name in ("threshold", "counts", "rescored")),
        ("many", ctypes.c_int64),
    )


class CertifiedScan(TopKScan):
    """As ``TopKScan``, which leaves out what surely is not among the best; for ``search`` alone.

    Attributes:
        gave_up: whether the bounds left so many that scoring all is faster; then nothing that was found is of use.
    """

    def __init__(
        self,
        text: TextVectors,
        gallery: GalleryVectors,
        steps: StepVectors,
        shape: HeadShape,
        biases: Biases,
        *,
        integers: bool,
    ) -> None:
        super().__init__(text, gallery, shape)
        self.gave_up = False
        self._counts: list[Rows] = []
        halves, floats, asked = _asked(text, shape, biases, many=self.many, integers=integers)
        self._shared: dict[str, npt.NDArray[Any] | None] = {
            "steps": steps.steps,
            "side": steps.side,
            "planes": halves,
            "floats": floats,
            "asked": asked,
            "threshold": np.full(self.queries, -np.inf, np.float32),
            "counts": np.zeros(2, np.int64),
        }

    def run(self, found: Library, walk: WalkJob) -> int:
        """As ``Scan.run``."""
        rescored = np.zeros(self.queries, np.int64)
        self._counts.append(rescored)
        pointers = {name: None if array is None else array.ctypes.data for name, array in self._shared.items()}
        job = self.job(walk)
        call = Certified(exact=ctypes.pointer(job), **pointers, rescored=rescored.ctypes.data, many=int(self.many))
        state: int = found.framesift_certified(ctypes.byref(call))
        self.gave_up |= state == _GAVE_UP
        return 0 if state == _GAVE_UP else state

    @property
    def rescored(self) -> Rows:
        """How many videos were scored for each query [Q]."""
        counts: Rows = np.sum(self._counts, axis=0)
        return counts


def integers(found: Library) -> bool:
    """Whether products of bytes are one instruction of this processor."""
    return bool(found.framesift_integers())


def _asked(
    text: TextVectors, shape: HeadShape, biases: Biases, *, many: bool, integers: bool
) -> tuple[npt.NDArray[np.int8] | None, Floats | None, npt.NDArray[np.void]]:
    """Planes int8 [Q, 4, D] or vectors float32 [Q, 2, D], and ``asked`` [Q]."""
    vectors = np.stack([text.logit, text.readout], axis=1)
    wide = turned(vectors.astype(np.float64))
    asked = np.zeros(len(vectors), ASKED)
    bytes_of: npt.NDArray[np.int8] | None = None
    floats: Floats | None = np.ascontiguousarray(wide, np.float32)
    if integers:
        halves, scale, whole = planes(wide)
        bytes_of = halves.reshape(len(wide), 4, -1)
        asked["scale"], asked["offset"] = scale, (128 * whole.sum(-1)) & 0xFFFFFFFF
        slack = MOST_STEPS * np.abs(wide - whole * scale[..., None].astype(np.float64)).sum(-1)
        asked["slack"], floats = _above(slack), None
    squares = np.einsum("qpd,qrd->qpr", wide, wide)
    asked["norm"] = _above(np.sqrt(squares[:, [0, 1], [0, 1]]))
    # The three add up to a square, of which cancellation may leave less than float32's rounding of its parts.
    # Vectors that are too long for that leave no video out.
    with np.errstate(over="ignore"):
        asked["square"] = np.stack(
            [squares[:, 0, 0] * (1 + 4e-6), 2 * squares[:, 0, 1], squares[:, 1, 1] * (1 + 4e-6)], axis=-1
        )
    # Any order of a sum of n products is off by at most n units, and the compiled scans have eight sums or more of a
    # vector; frames are as long as sqrt(D), and steps and means together three times at most.
    terms = (shape.width if many else shape.width // 8) + 3 * (shape.width // 8 + 20)
    asked["rounding"] = _above(terms * 2.0**-24 * LONGEST * shape.width**0.5)
    asked["tau"] = text.scalars
    asked["biases"] = biases.offset**2, biases.bias**2
    return bytes_of, floats, asked


def _above(values: npt.NDArray[np.float64] | float) -> npt.NDArray[np.float32]:
    """In float32, and no less."""
    return np.asarray(np.asarray(values) * (1 + 1e-6), np.float32)
