"""The gate in front of a lower precision: the same videos and captions through both, and the rankings compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, helper

from ..bundle.ports import GRAPHS, SCORER, SCORES, TEXT_ENCODER, VIDEO_ENCODER
from ..bundle.store import Bundle
from ..evaluation.overlap import top_overlap
from .calibration import CalibrationSet, Feeds
from .runners import Arrays, Runner, bundle_runners, candidate_model, graph_runner, records, scores
from .stages import Stage, stages
from .verdict import GateLimits, StageError, Verdict, recall, relative_error

# Number of inputs by which the source of an error is found.
_PROBED = 8
# The least error that a jump is measured against.
_QUIET = 0.01


class Gate:
    """A bundle's own graphs over a calibration set, run once, and any number of candidates against them."""

    def __init__(self, bundle: Bundle, inputs: CalibrationSet, limits: GateLimits | None = None) -> None:
        """Run the float32 graphs; without ``limits`` the defaults hold."""
        self.bundle, self.inputs, self.limits = bundle, inputs, limits or GateLimits()
        self._own = bundle_runners({name: bundle.graph(name) for name in GRAPHS})
        self._records = records(self._own, inputs)
        self._scores = scores(bundle.manifest, self._own[SCORER], *self._records)

    def judge(self, candidate: Path | Mapping[str, Runner], precision: str, *, optimise: bool = True) -> Verdict:
        """Compare a candidate's ranking with that of the bundle's own graphs.

        Args:
            candidate: a folder with any of ``video_encoder.onnx``, ``text_encoder.onnx`` and ``scorer.onnx``, or
                functions that run them, such as engines; the bundle's own graph stands for what is absent.
            precision: of the candidate. float16, bfloat16 and TF32 are rehearsed, see ``rehearsal``.
            optimise: of ONNX graphs, see ``graph_runner``; a graph for TensorRT is judged without.

        Returns:
            The verdict; ``verdict.demand`` raises unless it is good. Only ONNX graphs have stages.
        """
        models: dict[str, ModelProto] = {}
        if isinstance(candidate, Path):
            paths = {name: candidate / f"{name}.onnx" for name in GRAPHS}
            models = {name: candidate_model(path, precision) for name, path in paths.items() if path.is_file()}
            candidate = {name: graph_runner(model, optimise=optimise) for name, model in models.items()}
        text, video = records({**self._own, **candidate}, self.inputs)
        got = scores(self.bundle.manifest, candidate.get(SCORER, self._own[SCORER]), text, video)
        found: list[StageError] = []
        for name, feeds in ((TEXT_ENCODER, self.inputs.texts), (VIDEO_ENCODER, self.inputs.videos)):
            if name in models:
                own = onnx.load(str(self.bundle.graph(name)))
                found += stage_errors(name, own, models[name], feeds[:_PROBED], optimise=optimise)
        return Verdict(
            precision=precision,
            origin=self.inputs.origin,
            videos=len(self.inputs.videos),
            overlap=top_overlap(got, self._scores),
            recall=recall(got),
            recall_float32=recall(self._scores),
            errors={
                **_errors(TEXT_ENCODER, text, self._records[0]),
                **_errors(VIDEO_ENCODER, video, self._records[1]),
                f"{SCORER}.{SCORES}": relative_error(got, self._scores),
            },
            stages=tuple(found),
            limits=self.limits,
        )


def stage_errors(
    graph: str, reference: ModelProto, candidate: ModelProto, feeds: Sequence[Feeds], *, optimise: bool = True
) -> list[StageError]:
    """The error of every stage's output that both graphs have, in the order of computation."""
    known = {name for node in candidate.graph.node for name in node.output}
    shared = [stage for stage in stages(reference) if stage.tensor in known]
    want, got = (_probe(model, shared, feeds, optimise=o) for model, o in ((reference, True), (candidate, optimise)))
    found: list[StageError] = []
    before = 0.0
    for stage in shared:
        error = max(
            relative_error(mine[stage.tensor], theirs[stage.tensor]) for mine, theirs in zip(got, want, strict=True)
        )
        jump = (error - before) / max(before, _QUIET) if np.isfinite(before) else 0.0
        found.append(StageError(graph, stage.name, error, max(jump, 0.0)))
        before = max(before, error)
    return found


def _probe(model: ModelProto, shared: Sequence[Stage], feeds: Sequence[Feeds], *, optimise: bool) -> list[Arrays]:
    """What each of ``shared`` computes for each of ``feeds``, in float32."""
    probed = ModelProto()
    probed.CopyFrom(model)
    del probed.graph.output[:]
    for i, stage in enumerate(shared):
        probed.graph.node.append(helper.make_node("Cast", [stage.tensor], [f"probe/{i}"], to=TensorProto.FLOAT))
        probed.graph.output.append(helper.make_tensor_value_info(f"probe/{i}", TensorProto.FLOAT, None))
    run = graph_runner(probed, optimise=optimise)
    return [{stage.tensor: out[f"probe/{i}"] for i, stage in enumerate(shared)} for out in map(run, feeds)]


def _errors(graph: str, got: Arrays, want: Arrays) -> dict[str, float]:
    return {
        f"{graph}.{name}": max(relative_error(a, b) for a, b in zip(got[name], want[name], strict=True))
        for name in want
    }
