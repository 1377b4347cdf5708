"""Which ranker a bundle's gallery is searched with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from ...export.bundle.manifest import Manifest
from ...export.bundle.ports import MEAN_EMBEDDING, SCORER, VIDEO_ENCODER
from ...export.bundle.scorer_card import Search
from ...export.bundle.scorers import pair_floats, scan_limit, scorer_of, shortlist_size
from ...export.bundle.storages import is_coarse, storage_of
from .certified_ranking import CertifiedRanker
from .device import DeviceRanker
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
        gpu: number of the GPU to search on, where the scorer and the installed libraries can.

    Raises:
        BundleError: a scorer that is not known, or a graph that can't be opened.
    """
    return _RANKERS[scorer_of(manifest).search](manifest, scorer, gpu)


def _graph(manifest: Manifest, scorer: Path, gpu: int | None) -> Found:
    made = cache(lambda: OnnxScorer(scorer, _THREADS))
    ranker = compiled_ranker(manifest, scorer, made)
    return ranker or GraphRanker(made(), pair_floats(manifest)), _scored(manifest)


def _shortlist(manifest: Manifest, scorer: Path, gpu: int | None) -> Found:
    size, graph, floats = shortlist_size(manifest), OnnxScorer(scorer, _THREADS), pair_floats(manifest)
    limit = scan_limit(manifest)
    if size is None:
        return ScanRanker(graph, floats, limit=limit), _scored(manifest)
    return ShortlistRanker(graph, size, floats, limit=limit), [*_scored(manifest), MEAN_EMBEDDING]


def _topk(manifest: Manifest, scorer: Path, gpu: int | None) -> Found:
    if storage_of(manifest) == "int8":
        return CertifiedRanker(manifest), _scored(manifest)
    resident = None
    # A coarse stage reads the processor's memory, where its candidates are.
    if gpu is not None and not is_coarse(manifest) and find_spec("torch") is not None:
        from ...kernels.topk_attention.resident import gallery_on_gpu

        resident = gallery_on_gpu(gpu)
    return TopKRanker(manifest) if resident is None else DeviceRanker(manifest, resident), _scored(manifest)


_RANKERS: Mapping[Search, Callable[[Manifest, Path, int | None], Found]] = {
    "graph": _graph,
    "shortlist": _shortlist,
    "topk_attention": _topk,
}


def _scored(manifest: Manifest) -> list[str]:
    """The record tensors that the scorer reads."""
    kept = {port.name for port in manifest.graphs[VIDEO_ENCODER].outputs}
    return [port.name for port in manifest.graphs[SCORER].inputs if port.name in kept]
