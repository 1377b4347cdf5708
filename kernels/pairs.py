"""Compiled scans of the scorers of plain vectors, all but ``topk_attention``'s and those that read a pair whole.

Letters in shapes: Q queries, V videos, W word positions, F frames, M experts, D width. Every array of a call is
C-contiguous; texts are float32, and records all float16 or all float32.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from .lanes import LANES
from .library import STORAGES, Library, best_library
from .scan import Scan
from .walk import WalkJob

Name = Literal["dot", "frame_softmax", "multi_grained", "token_frame"]
Array = npt.NDArray[Any]

# What each array of a call is; a mask of frames is ``mask``.
SHAPES: Mapping[str, str] = {
    "text": "QWD",
    "words_whole": "QWD",
    "sentence": "QD",
    "sentence_whole": "QD",
    "frame_vectors": "VFD",
    "whole": "VD",
    "mask": "VF",
    "present": "VM",
    "shares": "QM",
}
# csrc/vector.h and csrc/pairs.h say the same.
MOST_FRAMES, MOST_WORDS = 64, 128
_STORED = (np.dtype(np.float16), np.dtype(np.float32))


class PairsJob(ctypes.Structure):
    """``pairs`` in csrc/pairs.h."""

    _fields_ = (
        ("walk", WalkJob),
        *((name, ctypes.c_int64) for name in ("storage", "queries", "words", "frames", "width", "experts")),
        *((name, ctypes.c_void_p) for name in ("frame_vectors", "whole", "mask", "present", "text", "words_whole")),
        *((name, ctypes.c_void_p) for name in ("sentence", "sentence_whole", "shares", "matrices")),
        ("sharpness", ctypes.c_float),
        ("scale", ctypes.c_float),
    )


class PairsScan(Scan):
    """One call of a scorer.

    Args:
        name: the scorer.
        text: its arrays of Q texts by the names of csrc/pairs.h, float32; ``text`` [Q, W, D] is one of them.
        records: its arrays of V videos; ``frame_vectors`` [V, F, D] is one of them.
        matrices, sharpness, scale: as csrc/pairs.h has them, where the scorer takes any.

    Raises:
        ValueError: another dtype or shape, not contiguous, no query or no video.
    """

    def __init__(
        self,
        name: Name,
        text: Mapping[str, Array],
        records: Mapping[str, Array],
        *,
        matrices: Array | None = None,
        sharpness: float = 1.0,
        scale: float = 1.0,
    ) -> None:
        words, frames = text["text"], records["frame_vectors"]
        super().__init__(len(words), len(frames))
        if words.shape[2] != frames.shape[2]:
            raise ValueError(
                f"texts are {words.shape[2]} wide and videos {frames.shape[2]}: they are records of different models"
            )
        sizes = {"Q": self.queries, "V": self.videos, "W": words.shape[1], "F": frames.shape[1], "D": words.shape[2]}
        sizes["M"] = text["shares"].shape[-1] if "shares" in text else 0
        for what, arrays, dtypes in (("texts", text, (np.dtype(np.float32),)), ("records", records, _STORED)):
            _check(what, arrays, sizes, dtypes)
        if not self.queries or not self.videos:
            raise ValueError("there must be at least one text and one video")
        self.name, self.text, self.records, self.matrices = name, text, records, matrices
        self.sharpness, self.scale = sharpness, scale
        arrays = {**text, **records, **({} if matrices is None else {"matrices": matrices})}
        self._job: dict[str, Any] = {
            "storage": STORAGES[frames.dtype],
            "queries": self.queries,
            "words": sizes["W"],
            "frames": sizes["F"],
            "width": sizes["D"],
            "experts": sizes["M"],
            "sharpness": sharpness,
            "scale": scale,
            **{name: array.ctypes.data for name, array in arrays.items()},
        }

    def of(self, records: Mapping[str, Array]) -> PairsScan:
        """The same texts against other records."""
        return PairsScan(
            self.name, self.text, records, matrices=self.matrices, sharpness=self.sharpness, scale=self.scale
        )

    def run(self, found: Library, walk: WalkJob) -> int:
        """As ``Scan.run``."""
        failed: int = getattr(found, f"framesift_{self.name}")(ctypes.byref(PairsJob(walk=walk, **self._job)))
        return failed


def available(width: int, frames: int = 1, words: int = 1) -> Library | None:
    """The best library that can score records of these sizes, or None."""
    return None if width % LANES or frames > MOST_FRAMES or words > MOST_WORDS else best_library()


def _check(what: str, arrays: Mapping[str, Array], sizes: Mapping[str, int], dtypes: tuple[np.dtype[Any], ...]) -> None:
    first = next(iter(arrays.values())).dtype
    for name, array in arrays.items():
        if array.dtype not in dtypes or array.dtype != first:
            raise ValueError(f"{name} is {array.dtype}, {what} must all be {' or all '.join(map(str, dtypes))}")
        shape = tuple(sizes[letter] for letter in SHAPES[name])
        if array.shape != shape or not array.flags.c_contiguous:
            raise ValueError(f"{name} is {list(array.shape)}, must be {list(shape)} and contiguous")
