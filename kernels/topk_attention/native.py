"""The compiled scorer (``csrc``) of one call, where there is a library that can run it."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from ..library import STORAGES, Library, best_library
from ..scan import NO_MEMORY, Scan
from ..walk import Rows, WalkJob
from .layout import LANES, HeadShape
from .operands import Floats, GalleryVectors, TextVectors

MOST_FRAMES = 64
# From this many queries on, a lane is a query instead of a video.
_MANY = 8
_INTEGERS = ("queries", "frames", "width", "heads", "streams", "rows", "top_k", "table_rows", "storage")
_POINTERS = ("vectors", "tables", "mean", "logit", "readout", "scalars")


class Job(ctypes.Structure):
    """``job`` in csrc/job.h."""

    _fields_ = (
        ("walk", WalkJob),
        *((name, ctypes.c_int64) for name in _INTEGERS),
        *((name, ctypes.c_void_p) for name in _POINTERS),
    )


def available(shape: HeadShape) -> Library | None:
    """The best library that can score ``shape``, or None."""
    return None if shape.frames > MOST_FRAMES or (shape.width // shape.heads) % LANES else best_library()


class TopKScan(Scan):
    """The job of one call, and everything that it points to; see ``available`` for the libraries that take it."""

    def __init__(self, text: TextVectors, gallery: GalleryVectors, shape: HeadShape) -> None:
        super().__init__(len(text.logit), len(gallery))
        self._arrays = {
            "vectors": gallery.frames,
            "tables": gallery.tables,
            "mean": gallery.mean,
            "logit": text.logit,
            "readout": text.readout,
            "scalars": text.scalars,
        }
        self._job: dict[str, Any] = {
            "queries": self.queries,
            "frames": shape.frames,
            "width": shape.width,
            "heads": shape.heads,
            "streams": shape.streams,
            "rows": shape.rows,
            "top_k": shape.top_k,
            "table_rows": gallery.tables.shape[1],
            "storage": STORAGES[gallery.frames.dtype],
            **{name: None if array is None else array.ctypes.data for name, array in self._arrays.items()},
        }

    @property
    def many(self) -> bool:
        """Whether a lane is a query."""
        return self.queries >= _MANY

    def job(self, walk: WalkJob) -> Job:
        """What a thread is told."""
        return Job(walk=walk, **self._job)

    def run(self, found: Library, walk: WalkJob) -> int:
        """As ``Scan.run``."""
        failed: int = found.framesift_scan(ctypes.byref(self.job(walk)), int(self.many))
        return failed

    def attention(self, found: Library, rows: Rows) -> Floats:
        """Attention weights float32 [Q, n, F] on the videos ``rows`` int64 [Q, n], averaged over heads.

        Raises:
            MemoryError: no room for the working memory.
        """
        out = np.empty((*rows.shape, self._job["frames"]), np.float32)
        asked = WalkJob(out=out.ctypes.data, best=rows.shape[1], best_rows=rows.ctypes.data)
        if found.framesift_attend(ctypes.byref(self.job(asked))):
            raise MemoryError(NO_MEMORY)
        return out
