"""The scorer's one node: what it holds, that it computes the score, and that TensorRT for RTX builds it."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
import pytest
import torch
from torch import Tensor

import framesift
from framesift.export import onnx as export
from framesift.export.custom_node import put_behind_node
from framesift.export.encoders.clip import ClipConfig
from framesift.export.graphs import graphs, ports
from framesift.export.systems.dong2026 import Dong2026, Dong2026Config
from framesift.kernels.topk_attention import cpu
from framesift.kernels.topk_attention.factorised import score
from framesift.kernels.topk_attention.layout import HeadShape, pack_tables
from framesift.kernels.topk_attention.operands import GalleryVectors, TextVectors

pytestmark = pytest.mark.long

TINY = ClipConfig(
    embed_dim=64,
    image_size=32,
    patch=16,
    vision_width=64,
    vision_layers=1,
    text_width=64,
    text_layers=1,
    vocab_size=514,
)
INPUTS = ("logit_vector", "readout_vector", "text_scalars", "frame_vectors", "gram_table")
SIZES = [(1, 1), (1, 37), (7, 1), (13, 21)]
TOLERANCE = 2e-5


@dataclass(frozen=True)
class Written:
    """A system with random weights and the scorer that was written of it."""

    system: Dong2026
    plain: Path
    path: Path

    @property
    def shape(self) -> HeadShape:
        return self.system.shape

    def records(self, queries: int, videos: int) -> tuple[Tensor, ...]:
        """Fresh text and video records in the order of the scorer's inputs."""
        head, shape = self.system.head, self.shape
        clips = torch.randn(videos, 1, shape.width) + 0.5 * torch.randn(videos, shape.frames, shape.width)
        with torch.no_grad():
            return (*head.encode_text(torch.randn(queries, shape.width)), *head.encode_video(clips))


@pytest.fixture(scope="module", params=[1, pytest.param(2, marks=pytest.mark.slow)], ids=["one head", "two heads"])
def written(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Written:
    folder = tmp_path_factory.mktemp("graphs")
    torch.manual_seed(0)
    config = Dong2026Config(frames=7, top_k=3, heads=request.param, temporal="none", clip=TINY)
    system = Dong2026(config).eval().folded()
    plain, path = folder / "plain.onnx", folder / "scorer.onnx"
    made = Written(system, plain, path)
    export.write_graph(graphs(system)["scorer"], made.records(3, 5), ports(system)["scorer"], plain)
    shutil.copy(plain, path)
    put_behind_node(path, system.plugin_node)
    return made


def run(path: Path, records: tuple[Tensor, ...]) -> list[npt.NDArray[np.float32]]:
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    found: list[npt.NDArray[np.float32]] = session.run(
        None, {name: x.numpy() for name, x in zip(INPUTS, records, strict=True)}
    )
    return found


def dims(model: onnx.ModelProto) -> list[tuple[int | str, ...]]:
    """Dimensions of every output, as far as they are known."""
    return [tuple(d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim) for v in model.graph.output]


def test_the_main_graph_is_one_node(written: Written) -> None:
    model = onnx.load(str(written.path))
    (node,) = model.graph.node
    assert (node.domain, node.op_type) == ("framesift", "TopKAttention")
    assert tuple(node.input) == INPUTS
    assert tuple(node.output) == ("scores", "attention")
    given = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    sizes = {"frames": 7, "top_k": 3, "heads": written.shape.heads, "width": 64}
    assert given == {**sizes, "plugin_namespace": b"framesift", "plugin_version": b"1", "aot": 1}
    assert not model.graph.initializer
    assert {(o.domain, o.version) for o in model.opset_import} == {("", 18), ("framesift", 1)}


def test_nothing_of_the_exporting_machine_is_left_in_it(written: Written) -> None:
    content = written.path.read_bytes()
    assert str(Path(framesift.__file__).parent).encode() not in content
    assert b"site-packages" not in content
    assert len(content) < 20_000


def test_shapes_are_inferred_through_the_function(written: Written) -> None:
    model = onnx.load(str(written.path))
    onnx.checker.check_model(model, full_check=True)
    promised = [port.dims for port in ports(written.system)["scorer"].outputs]
    assert dims(onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)) == promised
    # without the declared shapes there is the function's body alone
    for value in model.graph.output:
        value.type.tensor_type.ClearField("shape")
    inferred = dims(onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True))
    assert [len(found) for found in inferred] == [2, 3]


@pytest.mark.parametrize(("queries", "videos"), SIZES)
def test_it_computes_the_factorised_score(written: Written, queries: int, videos: int) -> None:
    records = written.records(queries, videos)
    want = score(*records, written.shape)
    for got, wanted in zip(run(written.path, records), want, strict=True):
        assert got.shape == wanted.shape
        np.testing.assert_allclose(got, wanted.numpy(), atol=TOLERANCE, rtol=0)


def test_the_compiled_kernel_gives_the_same_scores(written: Written) -> None:
    records = written.records(9, 35)
    text = TextVectors(*(x.numpy() for x in records[:3]))
    gallery = GalleryVectors(records[3].numpy(), pack_tables(records[4].numpy()))
    want = cpu.score(text, gallery, written.shape, impl="native")
    np.testing.assert_allclose(run(written.path, records)[0], want, atol=TOLERANCE, rtol=0)


def test_frames_may_be_declared_float16(written: Written, tmp_path: Path) -> None:
    model = onnx.load(str(written.path))
    (frames,) = (value for value in model.graph.input if value.name == "frame_vectors")
    frames.type.tensor_type.elem_type = onnx.TensorProto.FLOAT16
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, str(tmp_path / "scorer.onnx"))
    records = written.records(5, 9)
    halves = (*records[:3], records[3].half(), records[4])
    want = score(*records[:3], records[3].half().float(), records[4], written.shape)
    np.testing.assert_allclose(run(tmp_path / "scorer.onnx", halves)[0], want[0].numpy(), atol=TOLERANCE, rtol=0)


def test_it_gives_what_the_exported_graph_gives_bit_for_bit(written: Written) -> None:
    records = written.records(4, 6)
    for got, wanted in zip(run(written.path, records), run(written.plain, records), strict=True):
        np.testing.assert_array_equal(got, wanted)


def test_every_factorised_scorer_is_written_so(
    written: Written, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exported(*given: object) -> None:
        shutil.copy(written.plain, str(given[3]))

    monkeypatch.setattr(export, "write_graph", exported)
    export.write_graphs(written.system, tmp_path)
    assert (tmp_path / "scorer.onnx").read_bytes() == written.path.read_bytes()
    assert (tmp_path / "text_encoder.onnx").read_bytes() == written.plain.read_bytes()


@pytest.mark.skipif(
    importlib.util.find_spec("tensorrt_rtx_bindings") is None,
    reason="TensorRT for RTX is not installed: pip install --no-deps of the extra rtx",
)
def test_tensorrt_for_rtx_builds_an_engine(written: Written) -> None:
    script = Path(__file__).parent / "rtx_engine.py"
    done = subprocess.run([sys.executable, str(script), str(written.path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    built = json.loads(done.stdout.splitlines()[-1])
    assert built["bytes"] > 0
    assert built["outputs"] == {"scores": [-1, -1], "attention": [-1, -1, 7]}
