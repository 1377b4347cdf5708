"""The products of a tower that may be computed in low precision; everything else of a graph stays in float32.

These are convolutions, products with weights, and the two products of an attention, as long as a LayerNormalization
comes after them: what follows the last one makes the record (projection, norms, Gram tables, sums of squares), costs
little, and is stored or ranked by. A scorer without a LayerNormalization so has no such product at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, numpy_helper
from onnx.reference import ReferenceEvaluator

from .stages import element_types

# Operators that only move numbers. Of all but Concat the first input alone holds numbers.
MOVES = frozenset(
    "Concat Expand Flatten Gather Identity Reshape Slice Split Squeeze Transpose Unsqueeze".split()  # noqa: SIM905
)
_TO_SOFTMAX = MOVES | {"Add", "Mul", "Div", "Sub", "Where"}


def load_folded(path: Path) -> ModelProto:
    """A graph whose transposed and sliced weights are weights themselves: the exporter leaves those that it shares."""
    model = onnx.load(str(path))
    graph = model.graph
    known = {t.name: t for t in graph.initializer}
    nodes = []
    for node in graph.node:
        if node.op_type not in ("Transpose", "Slice") or not all(name in known for name in node.input):
            nodes.append(node)
            continue
        feeds = {name: numpy_helper.to_array(known[name]) for name in node.input}
        (values,) = ReferenceEvaluator(node).run(None, feeds)
        known[node.output[0]] = numpy_helper.from_array(np.ascontiguousarray(values), node.output[0])
        graph.initializer.append(known[node.output[0]])
    del graph.node[:]
    graph.node.extend(nodes)
    drop_unused(model)
    return model


def drop_unused(model: ModelProto) -> None:
    """Drop the weights that no node reads."""
    used = {name for node in model.graph.node for name in node.input}
    for tensor in [t for t in model.graph.initializer if t.name not in used]:
        model.graph.initializer.remove(tensor)


def weight_products(model: ModelProto) -> list[NodeProto]:
    """The tower's convolutions and products with weights, in order."""
    weights = {t.name for t in model.graph.initializer if len(t.dims) > 1}
    return [
        node
        for node in _before_norm(model)
        if node.op_type in ("Conv", "Gemm") or (node.op_type == "MatMul" and weights & set(node.input))
    ]


def attention_products(model: ModelProto) -> list[NodeProto]:
    """The tower's products of queries with keys, and of attention with values, in order."""
    makers, readers = _makers(model.graph.node), _readers(model.graph.node)
    weights = {t.name for t in model.graph.initializer}
    return [
        node
        for node in _before_norm(model)
        if node.op_type == "MatMul"
        and not weights & set(node.input)
        and (_meets_softmax(node, readers) or _comes_from_softmax(node, makers))
    ]


def _before_norm(model: ModelProto) -> list[NodeProto]:
    """Nodes from which numbers flow into a LayerNormalization; a choice of indices is no such flow."""
    types, makers = element_types(model), _makers(model.graph.node)
    outputs = {value.name for value in model.graph.output}
    seen: set[str] = set()
    open_ = [name for node in model.graph.node if node.op_type == "LayerNormalization" for name in node.input]
    while open_:
        name = open_.pop()
        if name in seen or types.get(name) != TensorProto.FLOAT or name not in makers:
            continue
        seen.add(name)
        open_.extend(makers[name].input)
    return [node for node in model.graph.node if node.output[0] in seen and not outputs & set(node.output)]


def _meets_softmax(node: NodeProto, readers: Mapping[str, list[NodeProto]]) -> bool:
    open_, seen = [node.output[0]], set()
    while open_:
        name = open_.pop()
        for reader in readers.get(name, []):
            if reader.op_type == "Softmax":
                return True
            if reader.op_type in _TO_SOFTMAX and reader.output[0] not in seen:
                seen.add(reader.output[0])
                open_.append(reader.output[0])
    return False


def _comes_from_softmax(node: NodeProto, makers: Mapping[str, NodeProto]) -> bool:
    for name in node.input:
        maker = makers.get(name)
        # torch guards a softmax over masked rows with a Where on NaN.
        while maker is not None and (maker.op_type in MOVES or maker.op_type == "Where"):
            maker = makers.get(maker.input[2 if maker.op_type == "Where" else 0])
        if maker is not None and maker.op_type == "Softmax":
            return True
    return False


def _makers(nodes: Iterable[NodeProto]) -> dict[str, NodeProto]:
    return {name: node for node in nodes for name in node.output}


def _readers(nodes: Iterable[NodeProto]) -> dict[str, list[NodeProto]]:
    found: dict[str, list[NodeProto]] = {}
    for node in nodes:
        for name in node.input:
            found.setdefault(name, []).append(node)
    return found
