"""The gate in front of a lower precision: the same videos and captions through both, and the rankings compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, helper

from ..bundle.ports import GRAPHS, SCORER, TEXT_ENCODER, VIDEO_ENCODER
from ..bundle.store import Bundle
from .calibration import CalibrationSet, Feeds
from .runners import Arrays, Runner, bundle_runners, candidate_model, graph_runner, records, scores
from .stages import Stage, stages
from .verdict import Limits, StageError, Verdict, overlap, recall, relative_error

# So many inputs tell where an error comes from.
_PROBED = 8
# What an error is measured against where nothing was wrong before.
_QUIET = 0.01


def judge(
    bundle: Bundle,
    candidate: Path | Mapping[str, Runner],
    inputs: CalibrationSet,
    *,
    precision: str,
    limits: Limits | None = None,
    optimise: bool = True,
) -> Verdict:
    """Compare a candidate's ranking with that of the bundle's own graphs, which are run beside it.

    Args:
        candidate: a folder with any of ``video_encoder.onnx``, ``text_encoder.onnx`` and ``scorer.onnx``, or functions
            that run them, such as engines; the bundle's own graph stands for what is absent.
        precision: of the candidate. float16, bfloat16 and TF32 are rehearsed, see ``rehearsal``.
        optimise: of ONNX graphs, see ``graph_runner``; a graph for TensorRT is judged without.

    Returns:
        The verdict; ``verdict.demand`` raises unless it is good. Stages are told of ONNX graphs alone.
    """
    own = {name: bundle.graph(name) for name in GRAPHS}
    models: dict[str, ModelProto] = {}
    runners: dict[str, Runner] = bundle_runners(own)
    reference = dict(runners)
    if isinstance(candidate, Path):
        models = {
            name: candidate_model(candidate / f"{name}.onnx", precision)
            for name in GRAPHS
            if (candidate / f"{name}.onnx").is_file()
        }
        runners.update({name: graph_runner(model, optimise=optimise) for name, model in models.items()})
    else:
        runners.update(candidate)
    text, video = records(reference, inputs)
    want = scores(bundle.manifest, reference[SCORER], text, video)
    my_text, my_video = records(runners, inputs)
    got = scores(bundle.manifest, runners[SCORER], my_text, my_video)
    found: list[StageError] = []
    for name, feeds in ((TEXT_ENCODER, inputs.texts), (VIDEO_ENCODER, inputs.videos)):
        if name in models:
            found += stage_errors(name, onnx.load(str(own[name])), models[name], feeds[:_PROBED], optimise=optimise)
    return Verdict(
        precision=precision,
        origin=inputs.origin,
        videos=len(inputs.videos),
        overlap=overlap(got, want),
        recall=recall(got),
        recall_float32=recall(want),
        errors={
            **_errors(TEXT_ENCODER, my_text, text),
            **_errors(VIDEO_ENCODER, my_video, video),
            f"{SCORER}.scores": relative_error(got, want),
        },
        stages=tuple(found),
        limits=limits or Limits(),
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
