"""What a scorer is given, as numpy arrays: the queries' vectors and a gallery's. Letters in shapes: ``layout``."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from .checks import CPU_DTYPES, Held, check_fit, check_gallery, check_text
from .layout import HeadShape, blocks

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
        check_text(_held(self.logit), _held(self.readout), _held(self.scalars))
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
        mean = None if self.mean is None else _held(self.mean)
        check_gallery(_held(self.frames), _held(self.tables), mean, CPU_DTYPES)

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


def check_together(text: TextVectors, gallery: GalleryVectors, shape: HeadShape) -> None:
    """Check that queries, gallery and scorer belong together.

    Raises:
        ValueError: they don't.
    """
    check_fit(_held(text.logit), _held(gallery.frames), _held(gallery.tables), shape)


def _held(array: npt.NDArray[Any]) -> Held:
    return Held(array.shape, _name(array.dtype), array.flags.c_contiguous)


@cache
def _name(dtype: np.dtype[Any]) -> str:
    # numpy puts it together anew each time, which takes a search of a small gallery a tenth of its time.
    return dtype.name
