"""A search as a server's ranker makes it, without a server: texts and answers in this machine's memory, and the gallery
on the GPU, whose kernels NVIDIA's driver launches without torch.

Times are of the calling thread. The float16 search is compared with the launcher's that torch has, and that over int8
steps with the float16 one: to the bit.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch

from ...export.bundle.errors import EngineError
from ...kernels.topk_attention.biases import Biases
from ...kernels.topk_attention.certified.encode import encode
from ...kernels.topk_attention.certified.records import StepVectors, side_rows
from ...kernels.topk_attention.divided import DividedGallery, gallery_on_gpus
from ...kernels.topk_attention.layout import pack_tables
from ...kernels.topk_attention.operands import GalleryVectors, TextVectors
from ...kernels.topk_attention.resident import Best, Source
from ..percentiles import rounds
from ..schema.gpu import GpuServed
from .floor import FRAMES, SHAPE, WIDTH, work
from .gallery import gallery
from .scoring import BEST, Asked, Limits

_LEAST, _SECONDS = 10, 1.0
_STEP, _THREADS = 4096, 12


def measure(
    videos: int, certified: int, queries: Sequence[int], device: torch.device, limits: Limits
) -> Iterator[GpuServed]:
    """Rows of searches of ``videos`` in float16, and of ``certified`` videos in float16 and over int8 steps."""
    for count in dict.fromkeys((videos, certified)):
        case = gallery(count, "float16", device, raw=1)
        asked = [Asked.of(case, each) for each in queries]
        wanted = [tuple(part.cpu().numpy() for part in one.search(torch.ones(count, device=device))) for one in asked]
        texts = [TextVectors(*(part.cpu().numpy() for part in one.inputs[:3])) for one in asked]
        biases = Biases(*case.folded.biases.double().tolist())
        held = GalleryVectors(case.frames.cpu().numpy(), case.table.cpu().numpy())
        del case, asked
        if device.type == "cuda":
            torch.cuda.empty_cache()
        for storage in ("float16", "int8") if count == certified else ("float16",):
            about = GpuServed(storage=storage, queries=0, videos=count)
            try:
                source = Source(held, steps_of(held, biases) if storage == "int8" else None)
                on_gpus = gallery_on_gpus(SHAPE, biases if storage == "int8" else None)
                if on_gpus is None:
                    raise EngineError("NVIDIA's driver shows no GPU")
                on_gpus.prepare()
                on_gpus.follow(source, anew=True)
                for text, (scores, rows) in zip(texts, wanted, strict=True):
                    yield _timed(on_gpus, text, source, scores, rows, about, limits)
            # One storage's failure must not end the other.
            except Exception as wrong:
                yield replace(about, failure=f"{type(wrong).__name__}: {wrong}"[:400])


def steps_of(held: GalleryVectors, biases: Biases) -> StepVectors:
    """The int8 steps of a gallery, made by several threads.

    Raises:
        ValueError: no compiled library makes them here.
    """
    videos = len(held)
    tables = held.tables.swapaxes(1, 2).reshape(-1, SHAPE.rows)
    steps = np.empty((videos, FRAMES + 1, WIDTH), np.uint8)
    sides = np.empty((videos, side_rows(FRAMES)), np.float32)

    def make(start: int) -> None:
        part = slice(start, min(start + _STEP, videos))
        steps[part], sides[part] = encode(held.frames[part], tables[part], SHAPE, biases)

    with ThreadPoolExecutor(_THREADS) as pool:
        list(pool.map(make, range(0, videos, _STEP)))
    return StepVectors(steps, pack_tables(sides))


def _timed(
    on_gpus: DividedGallery,
    text: TextVectors,
    source: Source,
    scores: npt.NDArray[np.float32],
    rows: npt.NDArray[np.int32],
    about: GpuServed,
    limits: Limits,
) -> GpuServed:
    def search() -> Best:
        return on_gpus.search(text, source, BEST, None)

    found, times = search(), list[float]()
    same = np.array_equal(found.rows, rows) and np.array_equal(found.scores, scores)
    begun = time.perf_counter()
    while len(times) < _LEAST or time.perf_counter() - begun < _SECONDS:
        start = time.perf_counter()
        search()
        times.append(time.perf_counter() - start)
    p20, p50, p80 = rounds(times)
    queries, videos = len(text.logit), len(source)
    # Beside its share of the floor a search over int8 steps would say less: the float16 one's is that of both.
    floor_ms = 1e3 * work(queries, videos, "float16").least_s(limits.copy, limits.matrix)
    return replace(
        about,
        queries=queries,
        p20_ms=p20,
        p50_ms=p50,
        p80_ms=p80,
        floor_ms=floor_ms,
        scored=found.scored / videos,
        same=same,
    )


def line(row: GpuServed) -> str:
    """One row as text."""
    told = f"{row.storage:14}{row.queries:5}{row.videos:9}  served search, {BEST} best      "
    if row.p50_ms is None or row.floor_ms is None:
        return f"{told} not timed: {row.failure}"
    same = "the same to the bit" if row.same else "OTHER BITS"
    return f"{told}{row.p50_ms:10.3f} ms{row.p50_ms / row.floor_ms:9.1f} x floor, {row.scored:.2%} scored, {same}"
