"""How much of the exact ranking the storage of a gallery keeps, and what a search over it takes."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ...export.build import eager_system
from ...export.bundle.ports import SCORER
from ...export.bundle.spec import TensorSpec
from ...export.bundle.store import Bundle
from ...export.evaluation.overlap import TOP, best, overlap
from ...serving.gallery.schema import GallerySchema
from ...serving.search.rankers import ranker_of
from ...serving.search.ranking import Ranked
from ..inputs.gallery import in_memory
from ..inputs.published import Published
from ..inputs.queries import captions
from ..inputs.videos import videos
from ..percentiles import rounds
from ..schema.rows import Storage

_ROUNDS = 41
# What a model's records are before a gallery keeps them: the measure of what that costs.
UNSTORED = "float32"


def storages(bundle: Bundle, names: Sequence[str]) -> dict[str, list[TensorSpec]]:
    """The record tensors ``names``, by storage: unstored, and what a served gallery keeps."""
    kept = [spec for spec in GallerySchema.of(bundle.manifest).record if spec.name in names]
    # A storage is called by what it keeps of the largest tensor.
    largest = max(kept, key=lambda spec: math.prod(spec.shape))
    return {UNSTORED: [replace(spec, dtype=UNSTORED) for spec in kept], largest.dtype: kept}


def measured(bundle: Bundle, model: str, size: int, queries: int, *, drawn: bool) -> Iterator[Storage]:
    """A row for each storage, judged by the published formula in float64 over ``queries`` captions.

    Times are of one query at a time, by the ranker that serves.
    """
    system = eager_system(bundle).eval()
    blocks = list(videos(bundle, system, size, drawn=drawn, rounded=False))
    record = {name: np.concatenate([block.record[name] for block in blocks]) for name in blocks[0].record}
    wide = Published(eager_system(bundle).double().eval(), bundle.manifest)
    reads = {
        name: torch.from_numpy(np.concatenate([block.reads[name] for block in blocks])).double() for name in wide.reads
    }
    ids = torch.from_numpy(bundle.tokenizer().encode(captions(queries)))
    exact = wide.scores(wide.encode(ids), reads).numpy()
    with torch.inference_mode():
        made = system.encode_text(ids)
    text = {tensor.name: values.numpy() for tensor, values in zip(system.text_record, made, strict=True)}
    ranker, read = ranker_of(bundle.manifest, bundle.graph(SCORER))
    found = storages(bundle, read)
    views = {name: in_memory(bundle, record, specs) for name, specs in found.items()}
    seconds: dict[str, list[float]] = {name: [] for name in views}
    for round_ in range(_ROUNDS):
        one = {name: values[round_ : round_ + 1] for name, values in text.items()}
        for name, view in views.items():
            started = time.perf_counter()
            ranker.rank(view, one, [TOP])
            seconds[name].append(time.perf_counter() - started)
    for name, view in views.items():
        p20, p50, p80 = (round(value, 4) for value in rounds(seconds[name]))
        yield Storage(
            model=model,
            storage=name,
            videos=size,
            queries=queries,
            bytes_per_video=sum(math.prod(spec.shape) * np.dtype(spec.dtype).itemsize for spec in found[name]),
            **_judged(ranker.rank(view, text, [TOP] * queries), exact),
            p20_ms=p20,
            p50_ms=p50,
            p80_ms=p80,
            threads=len(os.sched_getaffinity(0)),
        )


def line(row: Storage) -> str:
    """One row as text."""
    return (
        f"{row.storage:9}{row.bytes_per_video:>7} bytes a video  top-10 overlap {row.overlap:.4f}  "
        f"first place kept {row.first:.4f}  error {row.error:.1e}  {row.p50_ms:.2f} ms"
    )


def _judged(ranked: list[Ranked], exact: NDArray[Any]) -> dict[str, Any]:
    rows, scores = np.stack([one.rows for one in ranked]), np.stack([one.scores for one in ranked])
    kept = best(exact, TOP)
    return {
        "overlap": round(overlap(rows.tolist(), kept.tolist()), 5),
        "first": round(float((rows[:, 0] == kept[:, 0]).mean()), 5),
        "error": float(np.abs(scores - np.take_along_axis(exact, rows, 1)).max()),
    }
