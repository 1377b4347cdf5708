"""What a scorer is given, as numpy arrays: the queries' vectors and a gallery's. Letters in shapes: ``layout``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .layout import LANES, SCALARS, HeadShape, blocks

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class TextVectors:
    """The text side of Q queries, float32: ``logit`` and ``readout`` [Q, D], ``scalars`` [Q, 4].

    Raises:
        ValueError: no query, shapes that don't go together, another dtype, not contiguous, or a value that is not
            finite.
    """

    logit: Floats
    readout: Floats
    scalars: Floats

    def __post_init__(self) -> None:
        if self.logit.ndim != 2 or not len(self.logit):
            raise ValueError(f"logit vectors must be [Q, D] with at least one query, got {list(self.logit.shape)}")
        queries, width = self.logit.shape
        _demand("logit vectors", self.logit, (queries, width), np.float32)
        _demand("readout vectors", self.readout, (queries, width), np.float32)
        _demand("text scalars", self.scalars, (queries, SCALARS), np.float32)
        for name in ("logit", "readout", "scalars"):
            if not np.isfinite(getattr(self, name)).all():
                raise ValueError(f"the queries' {name} holds NaN or infinity: the text can't be compared with anything")

    def only(self, query: int) -> TextVectors:
        """The one of number ``query``."""
        part = slice(query, query + 1)
        return TextVectors(self.logit[part], self.readout[part], self.scalars[part])


@dataclass(frozen=True)
class GalleryVectors:
    """The video side of V videos, C-contiguous.

    ``frames`` are frame vectors [V, S, F, D] in float32 or float16, ``tables`` float32 [>= ceil(V / 16), R, 16]. In
    int8 (``quantise``) ``frames`` are steps around the mean frame, the tables have S N more rows, the size of each
    frame's steps, head by head, and ``mean`` float16 [V, D] is the mean of the last stream.

    Raises:
        ValueError: no video, shapes or dtypes that don't go together, or not contiguous. Values are not looked at,
            because a gallery is scanned far more often than it changes: call ``check_finite`` where they come in.
    """

    frames: npt.NDArray[Any]
    tables: Floats
    mean: npt.NDArray[np.float16] | None = None

    def __post_init__(self) -> None:
        if self.frames.ndim != 4 or not len(self.frames):
            raise ValueError(
                f"frame vectors must be [V, S, F, D] with at least one video, got {list(self.frames.shape)}"
            )
        if self.frames.dtype not in (np.float32, np.float16, np.int8):
            raise ValueError(f"frame vectors are {self.frames.dtype}, must be float32, float16 or int8")
        videos, _, _, width = self.frames.shape
        _demand("frame vectors", self.frames, self.frames.shape, self.frames.dtype)
        if self.tables.ndim != 3 or len(self.tables) < blocks(videos):
            raise ValueError(f"{videos} videos need {blocks(videos)} blocks of tables, got {list(self.tables.shape)}")
        _demand("tables", self.tables, (len(self.tables), self.tables.shape[1], LANES), np.float32)
        if (self.frames.dtype == np.int8) != (self.mean is not None):
            raise ValueError("int8 frame vectors, and no others, come with a mean")
        if self.mean is not None:
            _demand("mean", self.mean, (videos, width), np.float16)

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def nbytes(self) -> int:
        """Bytes that scoring one query reads."""
        parts = (self.frames, self.tables[: blocks(len(self))], self.mean)
        return sum(part.nbytes for part in parts if part is not None)

    def check_finite(self) -> None:
        """Look at every value.

        Raises:
            ValueError: NaN or infinity, and in which video first.
        """
        for name, values in (("frame vectors", self.frames), ("mean", self.mean)):
            if values is not None and not (whole := np.isfinite(values).reshape(len(values), -1).all(1)).all():
                raise ValueError(f"the {name} of video {int(np.argmin(whole))} hold NaN or infinity: index it again")
        whole = np.isfinite(self.tables).all(1).ravel()[: len(self)]
        if not whole.all():
            raise ValueError(f"the table of video {int(np.argmin(whole))} holds NaN or infinity: index it again")


def check_fit(text: TextVectors, gallery: GalleryVectors, shape: HeadShape) -> None:
    """Check that queries, gallery and scorer belong together.

    Raises:
        ValueError: they don't.
    """
    wanted = (shape.streams, shape.frames, shape.width)
    if gallery.frames.shape[1:] != wanted:
        raise ValueError(
            f"frame vectors are [V, S, F, D] = {list(gallery.frames.shape)}, the scorer takes {list(wanted)}"
        )
    if text.logit.shape[1] != shape.width:
        raise ValueError(f"the queries' vectors have width {text.logit.shape[1]}, the scorer takes {shape.width}")
    rows = shape.rows + (shape.streams * shape.entries if gallery.mean is not None else 0)
    if gallery.tables.shape[1] != rows:
        raise ValueError(f"tables have {gallery.tables.shape[1]} rows, {shape} in {gallery.frames.dtype} needs {rows}")


def _demand(name: str, array: npt.NDArray[Any], shape: tuple[int, ...], dtype: npt.DTypeLike) -> None:
    if array.shape != shape or array.dtype != dtype:
        raise ValueError(f"{name} are {array.dtype} {list(array.shape)}, must be {np.dtype(dtype)} {list(shape)}")
    if not array.flags.c_contiguous:
        raise ValueError(f"{name} are not contiguous: pass np.ascontiguousarray of them")
