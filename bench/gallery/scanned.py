"""Searches in float16 beside reading the same bytes once: of all rows of a gallery, and of a list of some."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from ...export.bundle.manifest import Manifest
from ...kernels.library import Library
from ...kernels.topk_attention.cpu import search
from ...kernels.topk_attention.native import available
from ...kernels.topk_attention.operands import GalleryVectors
from ...kernels.walk import in_threads
from ...serving.gallery.store import Gallery
from ...serving.indexing.memory import free_bytes
from ...serving.search.topk_ranking import TopKRanker
from .storages import opened
from .world import SHAPE, Films, texts

ONE = "float16 search by one thread, times reading its bytes"
TWO = "float16 search by two threads, times reading its bytes"
LISTED = "search of 5,000 rows, times reading their bytes"
_LISTED, _TEXTS, _ROUNDS, _TOP = 5_000, 8, 3, 10
# Bytes that a thread reads at once.
_PIECE = 8 << 20
_LANES = 16

Array = npt.NDArray[Any]
Act = Callable[[], object]


def scanned(
    gallery: Gallery, model: Manifest, films: Films, videos: int, told: Callable[[str], object]
) -> Iterator[tuple[str, float]]:
    """The ratios of medians; a search and the reading of what it reads take turns, with as many threads.

    It is as many of the rows as half of the free memory holds: what comes from the disk takes as long as that.
    """
    found = available(SHAPE)
    if found is None:
        told("scans are not timed: no compiled library for this processor")
        return
    drawn = np.random.default_rng(7)
    ranker, asked = TopKRanker(model), texts(films, drawn.integers(0, videos, _TEXTS))
    with opened(gallery, model) as snapshot:
        _, whole = ranker.operands(snapshot.view, asked)
        rows = min(len(whole), free_bytes() // 2 // (_bytes(whole) // len(whole))) // _LANES * _LANES
        part = GalleryVectors(whole.frames[:rows], whole.tables[: rows // _LANES])
        each = [ranker.texts({name: values[q : q + 1] for name, values in asked.items()}) for q in range(_TEXTS)]
        told(f"{rows} rows, {_bytes(part) >> 20} MiB")
        for name, threads in ((TWO, 2), (ONE, 1)):
            scans: list[Act] = [partial(search, text, part, SHAPE, _TOP, threads=threads) for text in each]
            yield name, _ratio(scans, [partial(_read, found, (part.frames, part.tables), threads)] * _TEXTS)
        lists = [np.sort(drawn.choice(rows, min(_LISTED, rows), replace=False)) for _ in each]
        yield (
            LISTED,
            _ratio(
                [
                    partial(search, text, part, SHAPE, _TOP, rows=some, threads=1)
                    for text, some in zip(each, lists, strict=True)
                ],
                [partial(_read, found, _together(part, some), 1) for some in lists],
            ),
        )


def _together(gallery: GalleryVectors, rows: npt.NDArray[np.int64]) -> tuple[Array, Array]:
    """As many rows as these, which lie one after another, and their tables."""
    start = min(int(rows[0]), len(gallery) - len(rows)) // _LANES * _LANES
    return gallery.frames[start : start + len(rows)], gallery.tables[start // _LANES :][: len(rows) // _LANES]


def _bytes(gallery: GalleryVectors) -> int:
    return int(gallery.frames.nbytes + gallery.tables.nbytes)


def _ratio(acts: Sequence[Act], floors: Sequence[Act]) -> float:
    """Of the medians of two kinds of acts, which take turns; all are done once before, for their memory to be there."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for number in range(_ROUNDS + 1):
        for pair in zip(acts, floors, strict=True):
            for act, at in zip(pair, seconds, strict=True):
                begun = time.perf_counter()
                act()
                if number:
                    at.append(time.perf_counter() - begun)
    return float(np.median(seconds[0]) / np.median(seconds[1]))


def _read(found: Library, arrays: Sequence[Array], threads: int) -> None:
    """Read arrays once; threads take pieces of them from one list."""
    pieces = iter(
        [
            (array.ctypes.data + start, min(_PIECE, array.nbytes - start) // 4)
            for array in arrays
            for start in range(0, array.nbytes, _PIECE)
        ]
    )

    def work() -> None:
        for address, floats in pieces:
            found.framesift_read(address, floats)

    in_threads(work, threads)
