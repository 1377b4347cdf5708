"""What an export will take, told before it begins."""

from __future__ import annotations

from collections.abc import Mapping

from .bundle.ports import SCORER, TEXT_ENCODER, VIDEO_ENCODER
from .footprint import Footprint, footprints
from .parity import CLIPS, CLIPS_AT_ONCE, GRAPH_CLIPS, WIDER
from .systems.contract import System

# Python, torch and the exporter; of a float64 model's weights; of a graph's weights in a session of ONNX Runtime, which
# keeps the file's beside those that it packs.
_BYTES, _WIDE, _SESSION = 0.6e9, 8, 8
# How much more than its results need at once a session has, by All-in-one's pairs. A Video Swin has 2.3 times as much.
_LOOSE = 1.5
# The exporter's time on one thread is that of a graph's operators; comparing runs clips and pairs in float32, and in
# float64.
_FIXED_S, _STEP_S, _OPERATIONS_A_S = 25.0, 0.025, 80e9


def expected(system: System) -> str:
    """A line with the memory and the time that writing and comparing a system's graphs will take."""
    weights = sum(parameter.numel() for parameter in system.parameters())
    found = footprints(system)
    minutes = max(1, round(expected_seconds(found) / 60))
    return (
        f"{weights / 1e6:.0f} million weights: about {expected_bytes(weights, found) / 1e9:.1f} GB of memory and "
        f"{minutes} min of processor time"
    )


def expected_bytes(weights: int, found: Mapping[str, Footprint]) -> float:
    """The most memory of an export, in bytes: of the moments at which a graph is in memory beside eager weights."""
    video, text, scorer = (found[name] for name in (VIDEO_ENCODER, TEXT_ENCODER, SCORER))
    moments = (
        # Clips go through the graph before the weights are widened.
        4 * weights + _session(video, CLIPS_AT_ONCE),
        _WIDE * weights + 2 * video.held,
        _WIDE * weights + _session(text),
        _WIDE * weights + _session(scorer),
    )
    return _BYTES + max(moments)


def expected_seconds(found: Mapping[str, Footprint]) -> float:
    """The processor time of an export, in seconds."""
    video, scorer = found[VIDEO_ENCODER].operations, found[SCORER].operations
    compared = (GRAPH_CLIPS + WIDER * CLIPS) * video + (1 + WIDER) * scorer
    return _FIXED_S + _STEP_S * sum(graph.steps for graph in found.values()) + compared / _OPERATIONS_A_S


def _session(graph: Footprint, times: int = 1) -> float:
    """A graph in a session, and its results for so many times the input that was run."""
    return _SESSION * graph.weights + _LOOSE * times * (graph.held + graph.logits)
