"""Which part of a model a node of its graph belongs to, by the module names that the exporter leaves on nodes."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass

import onnx
from onnx import ModelProto, NodeProto

_SCOPES = "pkg.torch.onnx.name_scopes"
# The shortest prefix that ends in a number: one block of a stack, whatever lies inside.
_BLOCK = re.compile(r"(.*?\.\d+)(?:\.|$)")


@dataclass(frozen=True)
class Stage:
    """A block of a stack or a module outside of one, and the last tensor that others read of it."""

    name: str
    tensor: str


def stages(model: ModelProto) -> list[Stage]:
    """The stages of a graph in the order in which they end, each with a floating tensor that leaves it."""
    where = stage_of_nodes(model)
    types = element_types(model)
    readers: dict[str, set[str]] = {}
    for node, stage in zip(model.graph.node, where, strict=True):
        for name in node.input:
            readers.setdefault(name, set()).add(stage)
    for value in model.graph.output:
        readers.setdefault(value.name, set()).add("")
    last: dict[str, str] = {}
    for node, stage in zip(model.graph.node, where, strict=True):
        for name in node.output:
            if types.get(name) == onnx.TensorProto.FLOAT and readers.get(name, set()) - {stage}:
                last.pop(stage, None)
                last[stage] = name
    return [Stage(name, tensor) for name, tensor in last.items()]


def stage_of_nodes(model: ModelProto) -> list[str]:
    """The stage of every node; a node without a name of its own belongs to the stage before it."""
    found, before = [], ""
    for node in model.graph.node:
        before = stage_of(node) or before
        found.append(before)
    return found


def stage_of(node: NodeProto) -> str:
    """The stage that a node is marked with, or an empty text."""
    for entry in node.metadata_props:
        if entry.key == _SCOPES:
            scopes: list[str] = ast.literal_eval(entry.value)
            module = scopes[-2] if len(scopes) > 1 else ""
            block = _BLOCK.match(module)
            return (block[1] if block else module or "system").removeprefix("system.")
    return ""


def is_block(stage: str) -> bool:
    """Whether a stage is one of a stack."""
    return stage.rpartition(".")[2].isdigit()


def element_types(model: ModelProto) -> Mapping[str, int]:
    """ONNX element types by name of every tensor of a graph whose type is known."""
    graph = onnx.shape_inference.infer_shapes(model).graph
    types = {v.name: v.type.tensor_type.elem_type for v in (*graph.value_info, *graph.input, *graph.output)}
    types.update({t.name: t.data_type for t in graph.initializer})
    return types
