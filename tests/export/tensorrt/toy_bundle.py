"""A bundle of three graphs of a node or two each, which the real builder builds in a tenth of a second."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from framesift.export.bundle.manifest import FrameProfile, Manifest, TokenizerProfile
from framesift.export.bundle.ports import SCORER, TEXT_ENCODER, VIDEO_ENCODER
from framesift.export.bundle.spec import GraphPorts, TensorSpec
from framesift.export.bundle.store import Bundle, seal

F, SIZE, WORDS, D = 2, 6, 9, 10
PORTS = {
    VIDEO_ENCODER: GraphPorts(
        (TensorSpec("frames", "uint8", ("batch", F, 3, SIZE, SIZE)),),
        (TensorSpec("video_embedding", "float32", ("batch", D)),),
    ),
    TEXT_ENCODER: GraphPorts(
        (TensorSpec("token_ids", "int64", ("batch", "length")),),
        (TensorSpec("text_embedding", "float32", ("batch", D)),),
    ),
    SCORER: GraphPorts(
        (
            TensorSpec("text_embedding", "float32", ("queries", D)),
            TensorSpec("video_embedding", "float32", ("videos", D)),
        ),
        (TensorSpec("scores", "float32", ("queries", "videos")),),
    ),
}
_VALUES = F * 3 * SIZE * SIZE


def toy_bundle(root: Path, seed: int = 0) -> Bundle:
    """Write the bundle; its weights, and so its graphs' hashes, come from ``seed``."""
    rng = np.random.default_rng(seed)
    root.mkdir()
    nodes = {
        VIDEO_ENCODER: (
            helper.make_node("Cast", ["frames"], ["floats"], to=TensorProto.FLOAT, name="widen"),
            helper.make_node("Reshape", ["floats", "flat"], ["rows"], name="flatten"),
            helper.make_node("MatMul", ["rows", "weight"], ["video_embedding"], name="project"),
        ),
        TEXT_ENCODER: (
            helper.make_node("Gather", ["weight", "token_ids"], ["words"], name="embed"),
            helper.make_node("ReduceMean", ["words", "axes"], ["text_embedding"], keepdims=0, name="mean"),
        ),
        SCORER: (
            helper.make_node("Transpose", ["video_embedding"], ["columns"], perm=[1, 0], name="turn"),
            helper.make_node("MatMul", ["text_embedding", "columns"], ["scores"], name="dot"),
        ),
    }
    constants = {
        VIDEO_ENCODER: {
            "flat": np.array([-1, _VALUES], np.int64),
            "weight": rng.normal(size=(_VALUES, D)).astype(np.float32),
        },
        TEXT_ENCODER: {"weight": rng.normal(size=(50, D)).astype(np.float32), "axes": np.array([1], np.int64)},
        SCORER: {},
    }
    for name, ports in PORTS.items():
        write(root / f"{name}.onnx", onnx_model(nodes[name], ports, constants[name]))
    (root / "merges.txt.gz").write_bytes(b"")
    manifest = Manifest(
        system="toy",
        scorer="dot",
        fingerprint=f"{seed:064d}",
        embed_dim=D,
        frames=FrameProfile(count=F, size=SIZE),
        tokenizer=TokenizerProfile(context_length=WORDS, buckets=(4, WORDS)),
        graphs=PORTS,
    )
    seal(root, manifest)
    return Bundle.open(root)


def onnx_model(nodes: tuple[NodeProto, ...], ports: GraphPorts, constants: dict[str, np.ndarray]) -> ModelProto:
    """A graph of ``nodes`` between the ports of a graph."""

    def infos(rows: tuple[TensorSpec, ...]) -> list:
        kinds = {port.name: helper.np_dtype_to_tensor_dtype(np.dtype(port.dtype)) for port in rows}
        return [helper.make_tensor_value_info(port.name, kinds[port.name], list(port.dims)) for port in rows]

    tensors = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(list(nodes), "toy", infos(ports.inputs), infos(ports.outputs), tensors)
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("toy", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def write(path: Path, model: ModelProto) -> Path:
    path.write_bytes(model.SerializeToString())
    return path
