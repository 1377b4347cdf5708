"""The gate against graphs that are right, spoilt, or overflow."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from framesift.export.bundle.errors import InvalidInput, PrecisionError
from framesift.export.bundle.ports import GRAPHS, MASK, NOISE, SCORES, TEXT_ENCODER, VIDEO_ENCODER
from framesift.export.bundle.store import Bundle
from framesift.export.corpus.manifest import Clip
from framesift.export.evaluation.overlap import top_overlap
from framesift.export.precision.calibration import CalibrationSet, calibration_inputs
from framesift.export.precision.gate import Gate
from framesift.export.precision.products import weight_products
from framesift.export.precision.runners import graph_runner
from framesift.export.precision.stages import stage_of
from framesift.export.precision.typed_graph import typed_graph
from framesift.export.precision.verdict import GateLimits, demand, recall, relative_error

from ...small_systems import small_bundle

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def inputs(bundle: Bundle, clips: list[Clip]) -> CalibrationSet:
    return calibration_inputs(bundle, clips[0].video.parent, clips[0].video.parent / "manifest.jsonl", 20)


@pytest.fixture(scope="module")
def gate(bundle: Bundle, inputs: CalibrationSet) -> Gate:
    return Gate(bundle, inputs)


@pytest.fixture(scope="module")
def masked(bundles: Path) -> Bundle:
    """TS2-Net, whose video encoder takes mask and noise and adds -1e6 to the logits of padding."""
    return small_bundle("ts2net", bundles)


def spoilt(bundle: Bundle, graph: str, stage: str, folder: Path, factor: float) -> None:
    """A copy of a graph in which the first weight of a stage is scaled."""
    model = onnx.load(str(bundle.graph(graph)))
    node = next(n for n in weight_products(model) if stage_of(n) == stage)
    weight = next(t for t in model.graph.initializer if t.name in node.input and len(t.dims) > 1)
    weight.CopyFrom(numpy_helper.from_array(factor * numpy_helper.to_array(weight), weight.name))
    onnx.save(model, folder / f"{graph}.onnx")


def test_float16_graphs_pass_and_the_verdict_is_json(bundle: Bundle, gate: Gate, tmp_path: Path) -> None:
    for graph in GRAPHS:
        typed_graph(bundle.graph(graph), tmp_path / f"{graph}.onnx", "fp16")
    verdict = gate.judge(tmp_path, "fp16")
    demand(verdict)
    assert 1e-6 < verdict.errors[f"scorer.{SCORES}"] < 5e-3
    assert all(0 <= stage.error < 5e-3 for stage in verdict.stages)
    told = json.loads(json.dumps(verdict.as_json(), allow_nan=False))
    assert (told["ok"], told["videos"], told["precision"]) == (True, 20, "fp16")


@pytest.mark.parametrize(
    ("graph", "stage"),
    [
        (VIDEO_ENCODER, "clip.visual.transformer.resblocks.1"),
        pytest.param(VIDEO_ENCODER, "transformerClip.resblocks.0", marks=pytest.mark.slow),
        pytest.param(TEXT_ENCODER, "clip.transformer.resblocks.1", marks=pytest.mark.slow),
    ],
)
def test_a_scaled_weight_fails_and_its_stage_is_named(gate: Gate, graph: str, stage: str, tmp_path: Path) -> None:
    spoilt(gate.bundle, graph, stage, tmp_path, 4.0)
    verdict = gate.judge(tmp_path, "fp16")
    assert not verdict.ok
    with pytest.raises(PrecisionError, match=f"jumps at {stage} of the {graph}"):
        demand(verdict)


def test_a_softmax_in_float16_under_an_authors_mask_is_found(masked: Bundle, tmp_path: Path) -> None:
    inputs = random_inputs(masked)
    typed_graph(masked.graph(VIDEO_ENCODER), tmp_path / f"{VIDEO_ENCODER}.onnx", "fp16")
    limits = GateLimits(overlap=0, recall_loss=100)
    assert Gate(masked, inputs, limits).judge(tmp_path, "fp16").ok
    all_in_float16(tmp_path / f"{VIDEO_ENCODER}.onnx")
    verdict = Gate(masked, inputs, limits).judge(tmp_path, "fp16")
    with pytest.raises(PrecisionError, match="jumps at transformerClip.resblocks.0 of the video_encoder: inf"):
        demand(verdict)
    json.dumps(verdict.as_json(), allow_nan=False)


def all_in_float16(path: Path) -> None:
    """Add the mask and take the softmax in float16, as a blind conversion does."""
    model = onnx.load(path)
    nodes, made = [], {t.name: t for t in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Softmax" and "transformerClip" in stage_of(node):
            to = onnx.TensorProto.FLOAT16
            nodes.append(onnx.helper.make_node("Cast", [node.input[0]], [f"{node.name}/in"], to=to))
            inner = onnx.helper.make_node("Softmax", [f"{node.name}/in"], [f"{node.name}/out"], axis=-1)
            back = onnx.helper.make_node("Cast", [inner.output[0]], [node.output[0]], to=onnx.TensorProto.FLOAT)
            nodes += [inner, back]
            continue
        if node.op_type == "Mul" and any(
            name in made and (numpy_helper.to_array(made[name]) == -1e6).all() for name in node.input
        ):
            constant = next(name for name in node.input if name in made)
            other = next(name for name in node.input if name != constant)
            low = numpy_helper.from_array(np.float16(-np.inf).reshape(()), f"{constant}/low")
            model.graph.initializer.append(low)
            nodes.append(onnx.helper.make_node("Cast", [other], [f"{other}/low"], to=onnx.TensorProto.FLOAT16))
            nodes.append(onnx.helper.make_node("Mul", [f"{other}/low", low.name], [f"{node.output[0]}/low"]))
            out = f"{node.output[0]}/low"
            nodes.append(onnx.helper.make_node("Cast", [out], [node.output[0]], to=onnx.TensorProto.FLOAT))
            continue
        nodes.append(node)
    assert len(nodes) > len(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.save(model, path)


def random_inputs(bundle: Bundle, count: int = 6) -> CalibrationSet:
    """Random inputs, short clips among them."""
    rng = np.random.default_rng(count)
    ports = bundle.manifest.graphs[VIDEO_ENCODER].inputs
    videos = []
    for i in range(count):
        feeds = {}
        for port in ports:
            shape = (1, *port.shape[1:])
            if port.name == MASK:
                feeds[port.name] = (np.arange(shape[1]) <= i % shape[1]).astype(np.float32)[None]
            else:
                feeds[port.name] = rng.integers(0, 256, shape).astype(port.dtype)
        videos.append(feeds)
    words = bundle.manifest.tokenizer.context_length
    texts = tuple({"token_ids": np.r_[1:words, 513][None]} for _ in range(count))
    return CalibrationSet(tuple(videos), texts, "random")


def test_runners_are_judged_like_files(gate: Gate) -> None:
    runner = graph_runner(gate.bundle.graph(TEXT_ENCODER))
    verdict = gate.judge({TEXT_ENCODER: runner}, "fp32")
    assert (verdict.ok, verdict.overlap, verdict.recall_loss, verdict.stages) == (True, 1.0, 0.0, ())
    negated = gate.judge({TEXT_ENCODER: lambda feeds: {k: -v for k, v in runner(feeds).items()}}, "fp32")
    assert not negated.ok
    assert negated.overlap < 0.5


def test_numbers_of_a_ranking() -> None:
    scores = np.eye(4)
    assert recall(scores) == 100
    scores[0, 1] = 1  # a tie counts against
    scores[1, 1] = np.nan
    scores[2, 0] = np.nan
    assert recall(scores) == 25
    want = np.arange(40.0)[None]
    assert top_overlap(want, want) == 1
    assert top_overlap(np.where(want == 39, -1, want), want) == 0.9
    # Of six videos the best three are compared, for all ten best would be all there are.
    assert top_overlap(-want[:, :6], want[:, :6]) == 0
    assert relative_error(np.array([1.1, 2.2]), np.array([1.0, 2.0])) == pytest.approx(0.1)
    assert relative_error(np.array([np.nan, 2.2]), np.array([1.0, 2.0])) == np.inf


def test_a_users_videos_and_captions_are_matched(bundle: Bundle, clips: list[Clip], tmp_path: Path) -> None:
    folder = clips[0].video.parent
    file = tmp_path / "captions.csv"
    with file.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerows([("key", "video_id", "sentence"), *(("k", c.video.stem, c.captions[0]) for c in clips)])
    found = calibration_inputs(bundle, folder, file, 5)
    assert len(found.videos) == len(found.texts) == 5
    ports = bundle.manifest.graphs[VIDEO_ENCODER].inputs
    assert [(name, a.dtype, a.shape[1:]) for name, a in found.videos[0].items()] == [
        (port.name, np.dtype(port.dtype), port.shape[1:]) for port in ports
    ]
    with pytest.raises(InvalidInput, match="has none of the 24 videos"):
        calibration_inputs(bundle, tmp_path, file)
    with pytest.raises(InvalidInput, match="or neither"):
        calibration_inputs(bundle, folder)


@pytest.mark.slow
def test_mask_and_noise_are_what_the_server_feeds(masked: Bundle, clips: list[Clip], tmp_path: Path) -> None:
    folder = clips[0].video.parent
    inputs = calibration_inputs(masked, folder, folder / "manifest.jsonl", 3)
    assert {MASK, NOISE} < inputs.videos[0].keys()
    for graph in GRAPHS:
        typed_graph(masked.graph(graph), tmp_path / f"{graph}.onnx", "bf16")
    verdict = Gate(masked, inputs).judge(tmp_path, "bf16")
    assert 0 < verdict.errors["video_encoder.frame_embeddings"] < 0.2
