"""A scorer as one ONNX node that a TensorRT plugin can take over.

The main graph holds a single node of the domain ``framesift`` with the scorer's inputs and outputs; the model carries
what the node computes as a local function of that name. ONNX Runtime and a TensorRT without the plugin expand the
function; a TensorRT that knows the plugin runs its kernel. See ``docs/tensorrt-plugin.md``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
from onnx import FunctionProto, GraphProto, ModelProto, NodeProto, TensorProto, helper

from .systems.contract import PluginNode

DOMAIN = "framesift"
# TensorRT's quickly deployable plugins all have version "1", and its parser compares the node's with it.
PLUGIN_VERSION = "1"


def put_behind_node(path: Path, node: PluginNode) -> None:
    """Rewrite the scorer at ``path``: its body becomes the function, its main graph the one node.

    Names, types and dimensions of the graph's inputs and outputs stay. ``node.narrow`` may now be float16 as well: who
    declares that input of the main graph float16 changes nothing else.
    """
    model = onnx.load(str(path))
    attributes = _attributes(node)
    function = _function(model, node, list(attributes))
    call = helper.make_node(
        node.operator,
        list(function.input),
        list(function.output),
        name=node.operator,
        domain=DOMAIN,
        **attributes,
    )
    graph = helper.make_graph([call], model.graph.name, list(model.graph.input), list(model.graph.output))
    wrapped = helper.make_model(
        graph,
        functions=[function],
        opset_imports=[*model.opset_import, helper.make_opsetid(DOMAIN, 1)],
        ir_version=model.ir_version,
        producer_name=model.producer_name,
        producer_version=model.producer_version,
    )
    onnx.save(wrapped, str(path))


def _attributes(node: PluginNode) -> dict[str, Any]:
    """What a plugin reads, and what makes TensorRT's parser look for one that is compiled ahead of time."""
    return {**node.sizes, "plugin_namespace": DOMAIN, "plugin_version": PLUGIN_VERSION, "aot": 1}


def _function(model: ModelProto, node: PluginNode, attributes: list[str]) -> FunctionProto:
    graph = model.graph
    nodes = [*_constants(graph), _in_float32(graph, node.narrow), *map(_bare, graph.node)]
    return helper.make_function(
        DOMAIN,
        node.operator,
        [value.name for value in graph.input],
        [value.name for value in graph.output],
        nodes,
        list(model.opset_import),
        attributes=attributes,
    )


def _constants(graph: GraphProto) -> list[NodeProto]:
    # A function has no initializers.
    return [helper.make_node("Constant", [], [tensor.name], value=tensor) for tensor in graph.initializer]


def _in_float32(graph: GraphProto, name: str) -> NodeProto:
    """A cast of the input of that name, from which every node of ``graph`` reads it now."""
    cast = f"{name}_float32"
    for node in graph.node:
        node.input[:] = [cast if read == name else read for read in node.input]
    return helper.make_node("Cast", [name], [cast], to=TensorProto.FLOAT)


def _bare(node: NodeProto) -> NodeProto:
    """Without the exporter's notes, which hold the exporting machine's paths."""
    bare = NodeProto()
    bare.CopyFrom(node)
    bare.ClearField("doc_string")
    bare.ClearField("metadata_props")
    return bare
