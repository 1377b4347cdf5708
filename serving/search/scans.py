"""Which compiled scan stands for a bundle's scorer graph: the one that gives the graph's own scores."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...export.bundle.manifest import Manifest
from ...export.bundle.onnx_weights import weights
from ...export.bundle.ports import (
    EXPERT_EMBEDDINGS,
    EXPERT_LOGITS,
    EXPERT_MASK,
    FRAME_EMBEDDINGS,
    FRAME_MASK,
    MASKS,
    MIXED_TEXT_EMBEDDING,
    MIXED_WORD_EMBEDDINGS,
    SCORER,
    TEXT_EMBEDDING,
    VIDEO_EMBEDDING,
    VIDEO_ENCODER,
    WORD_EMBEDDINGS,
)
from ...export.bundle.scorers import DOT, FRAME_SOFTMAX, MULTI_GRAINED, TOKEN_FRAME, WEIGHED_EXPERTS
from ...export.bundle.spec import TensorSpec
from ...kernels.dot import cpu as dot
from ...kernels.frame_softmax import cpu as frame_softmax
from ...kernels.library import Library
from ...kernels.multi_grained import cpu as multi_grained
from ...kernels.pairs import available
from ...kernels.token_frame import cpu as token_frame
from ...kernels.weighed_experts import cpu as weighed_experts
from .compiled import CompiledRanker, MakeScan
from .device_scan import device_ranker
from .onnx_scorer import Floats, Scorer, Tensors

if TYPE_CHECKING:
    from ...kernels.device_pairs import ResidentPairs

_log = logging.getLogger(__name__)
# Texts and videos by which graph and scan are compared, and how far apart scores may be, as a share of the largest.
# Beyond that the graph is another formula's.
_TEXTS, _VIDEOS, _AGREED = 3, 37, 1e-4


@dataclass(frozen=True)
class Tried:
    """Random records, and the scores that the graph gives them."""

    library: Library
    text: Tensors
    records: Tensors
    scores: Floats

    def by(self, make: MakeScan) -> Floats:
        """The scan's scores of the same records."""
        return make(self.text, self.records).score(self.library)


def compiled_ranker(
    manifest: Manifest, path: Path, graph: Callable[[], Scorer], resident: ResidentPairs | None = None
) -> CompiledRanker | None:
    """The ranker with the compiled scan of a bundle's scorer, once it has given the graph's scores on random records.

    Args:
        path: the scorer's graph, for the weights in it.
        graph: makes it run.
        resident: what is to search on a device, where its kernel gives those scores too.

    Returns:
        None where the scorer has no compiled scan, none runs here, or graph and scan differ.

    Raises:
        BundleError: a graph that can't be read.
    """
    ports = manifest.graphs[SCORER].inputs
    frames, words = (max((port.shape[1] for port in ports if port.name == name), default=1) for name in _COUNTED)
    library = available(ports[0].shape[-1], frames, words)
    if library is None or manifest.scorer not in _SCANS:
        return None
    kept = {port.name for port in manifest.graphs[VIDEO_ENCODER].outputs}
    text = _drawn([port for port in ports if port.name not in kept], _TEXTS, np.float32)
    records = _drawn([port for port in ports if port.name in kept], _VIDEOS, np.float16)
    tried = Tried(library, text, records, graph().score(text, records)[0])
    make = _SCANS[manifest.scorer](manifest, path, tried)
    if make is None or not np.abs(tried.by(make) - tried.scores).max() <= _AGREED * np.abs(tried.scores).max():
        _log.warning("the bundle's scorer is not %s as framesift has it: its graph is run, slower", manifest.scorer)
        return None
    ranker = CompiledRanker(library, make, _weigh if manifest.scorer == FRAME_SOFTMAX.name else None)
    return ranker if resident is None else device_ranker(ranker, resident, text, records, tried.scores)


def _drawn(ports: Sequence[TensorSpec], count: int, dtype: type[np.floating[Any]]) -> dict[str, Floats]:
    """Unit vectors that resemble one another, every number of a mask 1 but the last of each second row."""
    found = {}
    for seed, port in enumerate(ports):
        rng, shape = np.random.default_rng(seed), (count, *port.shape[1:])
        if port.name in MASKS:
            values = np.ones(shape)
            values[::2, -1] = shape[-1] == 1
        else:
            values = rng.standard_normal(shape) + 2 * rng.standard_normal(shape[-1])
            values /= np.linalg.norm(values, axis=-1, keepdims=True)
        found[port.name] = values.astype(dtype)
    return found


def _dot(manifest: Manifest, path: Path, tried: Tried) -> MakeScan | None:
    (text,), (video,) = tried.text, tried.records
    return lambda texts, records: dot.scan(texts[text], records[video])


def _weighed_experts(manifest: Manifest, path: Path, tried: Tried) -> MakeScan | None:
    return lambda texts, records: weighed_experts.scan(
        texts[TEXT_EMBEDDING], texts[EXPERT_LOGITS], records[EXPERT_EMBEDDINGS], records[EXPERT_MASK]
    )


def _frame_softmax(manifest: Manifest, path: Path, tried: Tried) -> MakeScan | None:
    return lambda texts, records: frame_softmax.scan(
        texts[TEXT_EMBEDDING], records[FRAME_EMBEDDINGS], records[FRAME_MASK]
    )


def _weigh(text: Tensors, records: Tensors) -> Floats:
    return frame_softmax.weights(text[TEXT_EMBEDDING][0], records[FRAME_EMBEDDINGS], records[FRAME_MASK])


def _token_frame(manifest: Manifest, path: Path, tried: Tried) -> MakeScan | None:
    tau = manifest.options.get("tau")
    if not isinstance(tau, (int, float)) or not 0 < tau < np.inf:
        return None
    return lambda texts, records: token_frame.scan(texts[WORD_EMBEDDINGS], records[FRAME_EMBEDDINGS], tau)


def _multi_grained(manifest: Manifest, path: Path, tried: Tried) -> MakeScan | None:
    sizes = {"word": tried.text[WORD_EMBEDDINGS].shape[1], "frame": tried.records[FRAME_EMBEDDINGS].shape[1]}
    found = {name.rpartition(".")[2]: values for name, values in weights(path).items()}
    matrices = {}
    for name, stored in _MATRICES.items():
        size = sizes[name.partition("_")[0]]
        if stored not in found or found[stored].shape != (size, size):
            return None
        matrices[name] = found[stored]

    def of(scale: float) -> MakeScan:
        held = multi_grained.Weights(**matrices, scale=scale)
        return lambda texts, records: multi_grained.scan(
            multi_grained.Texts(
                texts[TEXT_EMBEDDING], texts[MIXED_TEXT_EMBEDDING], texts[WORD_EMBEDDINGS], texts[MIXED_WORD_EMBEDDINGS]
            ),
            records[VIDEO_EMBEDDING],
            records[FRAME_EMBEDDINGS],
            held,
        )

    # The exporter folds exp(logit_scale) into another constant, so it is what the scores say.
    bare = tried.by(of(1.0)).astype(np.float64)
    return of(float((bare * tried.scores).sum() / (bare * bare).sum()))


_MATRICES = {
    "word_logit": "word_logit_weight",
    "frame_logit": "frame_logit_weight",
    "word_mat": "word_mat_weight",
    "frame_mat": "frame_mat_weight",
    "frame_mat2": "frame_mat_weight2",
    "word_mat2": "word_mat_weight2",
}
_COUNTED = (FRAME_EMBEDDINGS, WORD_EMBEDDINGS)
_SCANS: Mapping[str, Callable[[Manifest, Path, Tried], MakeScan | None]] = {
    DOT.name: _dot,
    FRAME_SOFTMAX.name: _frame_softmax,
    MULTI_GRAINED.name: _multi_grained,
    TOKEN_FRAME.name: _token_frame,
    WEIGHED_EXPERTS.name: _weighed_experts,
}
