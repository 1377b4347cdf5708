"""Which ranker a bundle's gallery is searched with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

from ...export.bundle.manifest import Manifest
from ...export.bundle.ports import MEAN_EMBEDDING, SCORER, VIDEO_ENCODER
from ...export.bundle.scorer_card import Search
from ...export.bundle.scorers import pair_floats, scan_limit, scorer_of, shortlist_size
from ...export.bundle.storages import is_coarse, storage_of
from .certified_ranking import CertifiedRanker
from .device import on_devices
from .on_gpu import scanned_on_gpu
from .onnx_scorer import OnnxScorer
from .pairs import ScanRanker
from .ranking import GraphRanker, Ranker
from .scans import compiled_ranker
from .shortlist import ShortlistRanker
from .topk_ranking import TopKRanker

_THREADS = 2

Found = tuple[Ranker, list[str]]


def ranker_of(manifest: Manifest, scorer: Path, gpu: int | None = None) -> Found:
    """The ranker of a bundle, and the record tensors that it reads.

    Args:
        scorer: the bundle's scorer graph, which is opened only where it is needed.
        gpu: not None to search on all visible GPUs, where the scorer and the installed libraries can.

    Raises:
        BundleError: a scorer that is not known, or a graph that can't be opened.
    """
    return _RANKERS[scorer_of(manifest).search](manifest, scorer, gpu)


def _graph(manifest: Manifest, scorer: Path, gpu: int | None) -> Found:
    made = cache(lambda: OnnxScorer(scorer, _THREADS))
    resident = None
    if gpu is not None and scanned_on_gpu(manifest):
        from ...kernels.device_pairs import pairs_on_gpu

        resident = pairs_on_gpu(gpu)
    ranker = compiled_ranker(manifest, scorer, made, resident)
    return ranker or GraphRanker(made(), pair_floats(manifest)), _scored(manifest)


def _shortlist(manifest: Manifest, scorer: Path, gpu: int | None) -> Found:
    size, graph, floats = shortlist_size(manifest), OnnxScorer(scorer, _THREADS), pair_floats(manifest)
    limit = scan_limit(manifest)
    if size is None:
        return ScanRanker(graph, floats, limit=limit), _scored(manifest)
    return ShortlistRanker(graph, size, floats, limit=limit), [*_scored(manifest), MEAN_EMBEDDING]


def _topk(manifest: Manifest, scorer: Path, gpu: int | None) -> Found:
    ranker = CertifiedRanker(manifest) if storage_of(manifest) == "int8" else TopKRanker(manifest)
    # A coarse stage reads the processor's memory, where its candidates are.
    if gpu is not None and not is_coarse(manifest):
        ranker = on_devices(manifest, ranker)
    return ranker, _scored(manifest)


_RANKERS: Mapping[Search, Callable[[Manifest, Path, int | None], Found]] = {
    "graph": _graph,
    "shortlist": _shortlist,
    "topk_attention": _topk,
}


def _scored(manifest: Manifest) -> list[str]:
    """The record tensors that the scorer reads."""
    kept = {port.name for port in manifest.graphs[VIDEO_ENCODER].outputs}
    return [port.name for port in manifest.graphs[SCORER].inputs if port.name in kept]
