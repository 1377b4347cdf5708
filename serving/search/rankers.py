"""Which ranker a bundle's gallery is searched with."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from ...export.bundle.manifest import Manifest
from ...export.bundle.ports import MEAN_EMBEDDING, SCORER, VIDEO_ENCODER
from ...export.bundle.scorers import CROSS_ENCODER, TOPK_ATTENTION, pair_floats
from .onnx_scorer import OnnxScorer
from .ranking import GraphRanker, Ranker
from .shortlist import ShortlistRanker, shortlist_size
from .topk_ranking import TopKRanker

_THREADS = 2


def ranker_of(manifest: Manifest, scorer: Path, gpu: int | None = None) -> tuple[Ranker, list[str]]:
    """The ranker of a bundle, and the record tensors that it reads.

    One formula has an implementation of its own; the others run the bundle's graph.

    Args:
        scorer: the bundle's scorer graph, which is opened only where it is needed.
        gpu: number of the GPU to search on, where the formula and the installed libraries can.

    Raises:
        BundleError: a scorer that is not known, or a graph that can't be opened.
    """
    kept = {port.name for port in manifest.graphs[VIDEO_ENCODER].outputs}
    read = [port.name for port in manifest.graphs[SCORER].inputs if port.name in kept]
    if manifest.scorer == TOPK_ATTENTION:
        return _topk(manifest, gpu), read
    floats, graph = pair_floats(manifest), OnnxScorer(scorer, _THREADS)
    if manifest.scorer == CROSS_ENCODER:
        return ShortlistRanker(graph, shortlist_size(manifest), floats), [*read, MEAN_EMBEDDING]
    return GraphRanker(graph, floats), read


def _topk(manifest: Manifest, gpu: int | None) -> TopKRanker:
    if gpu is None or find_spec("torch") is None:
        return TopKRanker(manifest)
    from .device import on_gpu

    return on_gpu(manifest, gpu)
