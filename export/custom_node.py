"""The scorer of ``topk_attention`` as one ONNX node that a TensorRT plugin can take over.

The main graph holds a single ``framesift::TopKAttention`` with the scorer's inputs and outputs; the model carries what
the node computes as a local function of that name. ONNX Runtime and a TensorRT without the plugin expand the function;
a TensorRT that knows the plugin runs its kernel. See ``docs/tensorrt-plugin.md``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
from onnx import FunctionProto, GraphProto, ModelProto, NodeProto, TensorProto, helper

from ..kernels.topk_attention.layout import HeadShape
from .bundle.ports import FRAME_VECTORS

DOMAIN = "framesift"
OPERATOR = "TopKAttention"
# TensorRT's quickly deployable plugins all have version "1", and its parser compares the node's with it.
PLUGIN_VERSION = "1"
SIZES = ("frames", "top_k", "heads", "width")


def put_behind_node(path: Path, shape: HeadShape) -> None:
    """Rewrite the scorer at ``path``: its body becomes the function, its main graph the one node.

    Names, types and dimensions of the graph's inputs and outputs stay. The frame vectors may now be float16 as well:
    who declares that input of the main graph float16 changes nothing else.

    Args:
        shape: the node's attributes.
    """
    model = onnx.load(str(path))
    function = _function(model)
    node = helper.make_node(
        OPERATOR,
        list(function.input),
        list(function.output),
        name=OPERATOR,
        domain=DOMAIN,
        **_attributes(shape),
    )
    graph = helper.make_graph([node], model.graph.name, list(model.graph.input), list(model.graph.output))
    wrapped = helper.make_model(
        graph,
        functions=[function],
        opset_imports=[*model.opset_import, helper.make_opsetid(DOMAIN, 1)],
        ir_version=model.ir_version,
        producer_name=model.producer_name,
        producer_version=model.producer_version,
    )
    onnx.save(wrapped, str(path))


def _attributes(shape: HeadShape) -> dict[str, Any]:
    """What a plugin needs to know, and what makes TensorRT's parser look for one that is compiled ahead of time."""
    sizes = {name: getattr(shape, name) for name in SIZES}
    return {**sizes, "plugin_namespace": DOMAIN, "plugin_version": PLUGIN_VERSION, "aot": 1}


def _function(model: ModelProto) -> FunctionProto:
    graph = model.graph
    nodes = [*_constants(graph), _frames_in_float32(graph), *map(_bare, graph.node)]
    return helper.make_function(
        DOMAIN,
        OPERATOR,
        [value.name for value in graph.input],
        [value.name for value in graph.output],
        nodes,
        list(model.opset_import),
        attributes=[*SIZES, "plugin_namespace", "plugin_version", "aot"],
    )


def _constants(graph: GraphProto) -> list[NodeProto]:
    # A function has no initializers.
    return [helper.make_node("Constant", [], [tensor.name], value=tensor) for tensor in graph.initializer]


def _frames_in_float32(graph: GraphProto) -> NodeProto:
    """A cast of the frame vectors, from which every node of ``graph`` reads them now."""
    cast = f"{FRAME_VECTORS}_float32"
    for node in graph.node:
        node.input[:] = [cast if name == FRAME_VECTORS else name for name in node.input]
    return helper.make_node("Cast", [FRAME_VECTORS], [cast], to=TensorProto.FLOAT)


def _bare(node: NodeProto) -> NodeProto:
    """Without the exporter's notes, which hold the exporting machine's paths."""
    bare = NodeProto()
    bare.CopyFrom(node)
    bare.ClearField("doc_string")
    bare.ClearField("metadata_props")
    return bare
