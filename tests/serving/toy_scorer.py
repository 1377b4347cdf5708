"""A small scorer graph of the real kind, for galleries of ``toy_ports``."""

from __future__ import annotations

import onnx
from onnx import TensorProto, helper

from framesift.export.bundle.ports import ATTENTION, FRAME_EMBEDDINGS, SCORES, TEXT_EMBEDDING

FRAMES, DIM = 3, 8


def scorer_graph(attention: str = ATTENTION, attends: bool = True) -> onnx.ModelProto:
    """Sum over frames of softmax(t.f) * (t.f), the same shape of problem as text-conditioned pooling."""
    nodes = [
        helper.make_node("Einsum", [TEXT_EMBEDDING, FRAME_EMBEDDINGS], ["logits"], equation="qd,vfd->qvf"),
        helper.make_node("Softmax", ["logits"], [attention], axis=-1),
        helper.make_node("Einsum", [attention, "logits"], [SCORES], equation="qvf,qvf->qv"),
    ]
    inputs = [
        helper.make_tensor_value_info(TEXT_EMBEDDING, TensorProto.FLOAT, ["queries", DIM]),
        helper.make_tensor_value_info(FRAME_EMBEDDINGS, TensorProto.FLOAT, ["videos", FRAMES, DIM]),
    ]
    outputs = [
        helper.make_tensor_value_info(SCORES, TensorProto.FLOAT, ["queries", "videos"]),
        helper.make_tensor_value_info(attention, TensorProto.FLOAT, ["queries", "videos", FRAMES]),
    ][: 2 if attends else 1]
    graph = helper.make_graph(nodes, "scorer", inputs, outputs)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
