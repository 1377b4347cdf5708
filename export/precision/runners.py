"""Graphs as functions from named arrays to named arrays, whatever runs them, and the scores of a whole set."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import ModelProto

from ..bundle.manifest import Manifest
from ..bundle.ports import GRAPHS, SCORER, SCORES, TEXT_ENCODER, VIDEO_ENCODER
from ..bundle.scorers import scorer_of
from .calibration import CalibrationSet, Feeds
from .rehearsal import rehearsed, rehearsed_tf32

Arrays = dict[str, NDArray[Any]]
Runner = Callable[[Feeds], Arrays]

_QUERIES, _VIDEOS = 32, 64


def graph_runner(graph: Path | ModelProto, *, optimise: bool = True) -> Runner:
    """An ONNX graph on ONNX Runtime's CPU.

    Args:
        optimise: without it Q/DQ pairs are computed as they stand, in float32, and not by the CPU's integer kernels.
    """
    options = ort.SessionOptions()
    if not optimise:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    content = str(graph) if isinstance(graph, Path) else graph.SerializeToString()
    session = ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return lambda feeds: dict(zip(names, session.run(None, dict(feeds)), strict=True))


def candidate_model(path: Path, precision: str) -> ModelProto:
    """A candidate's graph with the rounding of its precision, for ONNX Runtime's CPU."""
    model = onnx.load(str(path))
    return rehearsed_tf32(model) if precision == "tf32" else rehearsed(model)


def records(runners: Mapping[str, Runner], inputs: CalibrationSet) -> tuple[Arrays, Arrays]:
    """The text record [N, ...] and the video record [N, ...] of a set."""
    texts = [runners[TEXT_ENCODER](feeds) for feeds in inputs.texts]
    videos = [runners[VIDEO_ENCODER](feeds) for feeds in inputs.videos]
    return _joined(texts), _joined(videos)


def scores(manifest: Manifest, scorer: Runner, text: Arrays, video: Arrays) -> NDArray[np.float32]:
    """Scores [Q, V] of all pairs of two records; of a scorer that is slow only those of the first of either."""
    names = [port.name for port in manifest.graphs[SCORER].inputs]
    part = slice(scorer_of(manifest).calibrated)
    text, video = _part(text, part), _part(video, part)
    rows = []
    for q in _blocks(text, _QUERIES):
        row = []
        for v in _blocks(video, _VIDEOS):
            feeds = {**_part(text, q), **_part(video, v)}
            row.append(scorer({name: feeds[name] for name in names})[SCORES])
        rows.append(np.concatenate(row, 1))
    return np.concatenate(rows, 0)


def bundle_runners(graphs: Mapping[str, Path]) -> dict[str, Runner]:
    """The float32 graphs as they are exported."""
    return {name: graph_runner(graphs[name]) for name in GRAPHS}


def _joined(parts: Sequence[Arrays]) -> Arrays:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _part(record: Arrays, rows: slice) -> Arrays:
    return {name: values[rows] for name, values in record.items()}


def _blocks(record: Arrays, size: int) -> list[slice]:
    count = len(next(iter(record.values())))
    return [slice(start, start + size) for start in range(0, count, size)]
