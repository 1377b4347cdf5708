"""What a whole run found, in few lines: the figures that are asked for, beside what is missing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ..schema.files import newest
from ..schema.gpu import GpuEncoding, GpuScoring, GpuServed
from ..schema.kinds import GPU_ENCODING, GPU_SCORING, GPU_SERVED
from .contenders import BOUND, EAGER, GRAPHS
from .scoring import COMPILED, SCORES, SEARCH
from .sizes import Sizes

_MISSING = "not measured"


def figures(results: Path, sizes: Sizes) -> list[str]:
    """A line for each figure, from the newest rows in a folder; of several rows of a case the last counts."""
    return [f"{name:58}{value or _MISSING}" for name, value in _found(results, sizes)]


def _found(results: Path, sizes: Sizes) -> Iterator[tuple[str, str | None]]:
    scored = {(row.case, row.storage, row.queries): row for row in newest(GPU_SCORING, results) if _of(row, sizes)}
    for count in sizes.queries:
        scores = scored.get((SCORES, "float16", count))
        yield (
            f"float16, {count} queries, of the floor ({scores.ceiling if scores else 'bytes or products'})",
            None if scores is None else f"{scores.floor_ms / _best(scores):.1%}, {_best(scores):.3f} ms",
        )
        for name, other in (
            (f"int8 over float16, {count} queries", (SCORES, "int8", count)),
            (f"ten best over all scores, {count} queries", (SEARCH, "float16", count)),
            (f"max-autotune over the kernel, {count} queries", (COMPILED, "float16", count)),
        ):
            yield name, _ratio(scored.get(other), scores)
    encoded = {(row.graph, row.batch, row.case): row for row in newest(GPU_ENCODING, results)}
    for graph, batches in sizes.batches.items():
        for batch in batches:
            for case in (EAGER, GRAPHS, BOUND):
                yield f"{sizes.model}, {graph} of {batch}, {case}", _encoded(encoded.get((graph, batch, case)))
    searched = {(row.storage, row.queries, row.videos): row for row in newest(GPU_SERVED, results)}
    for storage, videos in (("float16", sizes.served), ("float16", sizes.certified), ("int8", sizes.certified)):
        for count in sizes.together:
            row = searched.get((storage, count, videos))
            yield f"served search, {storage}, {count} of {videos:,} videos", _searched(row)


def _of(row: GpuScoring, sizes: Sizes) -> bool:
    return row.videos == sizes.videos


def _best(row: GpuScoring) -> float:
    """Of a call as Python makes it, and of its graph's replay, what is shorter: the device's own time."""
    return min(row.p50_ms, row.graph_ms or row.p50_ms)


def _ratio(row: GpuScoring | None, over: GpuScoring | None) -> str | None:
    return None if row is None or over is None else f"{_best(row) / _best(over):.2f}, {_best(row):.3f} ms"


def _encoded(row: GpuEncoding | None) -> str | None:
    return None if row is None or row.p50_ms is None else f"{row.p50_ms:.3f} ms"


def _searched(row: GpuServed | None) -> str | None:
    if row is None or row.p50_ms is None:
        return None
    return f"{row.p50_ms:.3f} ms, {'the same to the bit' if row.same else 'OTHER BITS'}"
