"""A graph of low precision as ONNX Runtime's CPU can run it, with the rounding that a GPU would do.

ONNX Runtime's CPU has no bfloat16 products, and runs float16 ones in float32 without rounding in between: a sum that
overflows float16 comes out finite there. So a rehearsal computes in float32 and rounds explicitly: inputs, weights and
results of every low operator, as tensor cores do that add up in float32. TF32 is rehearsed by rounding the inputs of
every product to 11 significant bits.
"""

from __future__ import annotations

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from .stages import element_types

_LOW = (TensorProto.FLOAT16, TensorProto.BFLOAT16)
_PRODUCTS = ("Conv", "Gemm", "MatMul")
# Veltkamp's constant: x * c - (x * c - x) keeps the upper 24 - 13 bits of a float32.
_SPLIT = "tf32/split"


def rehearsed(model: ModelProto) -> ModelProto:
    """A copy of ``model`` whose low operators compute in float32 and round; names of tensors stay."""
    copy, types = _copy(model), element_types(model)
    low = {name: kind for name, kind in types.items() if kind in _LOW}
    if not low:
        return copy
    nodes: list[NodeProto] = []
    wide: dict[str, str] = {}
    for node in model.graph.node:
        touched = low.keys() & {*node.input, *node.output}
        if node.op_type == "Cast" or not touched:
            nodes.append(node)
            continue
        inner = NodeProto()
        inner.CopyFrom(node)
        for i, name in enumerate(node.input):
            if name in low:
                if name not in wide:
                    wide[name] = f"{name}/wide"
                    nodes.append(helper.make_node("Cast", [name], [wide[name]], to=TensorProto.FLOAT))
                inner.input[i] = wide[name]
        rounded = []
        for i, name in enumerate(node.output):
            if name in low:
                inner.output[i] = f"{name}/exact"
                rounded.append(helper.make_node("Cast", [inner.output[i]], [name], to=low[name]))
        nodes += [inner, *rounded]
    _replace(copy, nodes)
    return copy


def rehearsed_tf32(model: ModelProto) -> ModelProto:
    """A copy of ``model`` in which the inputs of every product are rounded to TF32."""
    copy, types = _copy(model), element_types(model)
    nodes: list[NodeProto] = []
    made: dict[str, str] = {}
    for node in model.graph.node:
        inner = NodeProto()
        inner.CopyFrom(node)
        if node.op_type in _PRODUCTS:
            for i, name in enumerate(node.input[:2]):
                if types.get(name) == TensorProto.FLOAT:
                    if name not in made:
                        made[name] = f"{name}/tf32"
                        nodes += _split(name, made[name])
                    inner.input[i] = made[name]
        nodes.append(inner)
    if made:
        copy.graph.initializer.append(numpy_helper.from_array(np.array(2**13 + 1, np.float32), _SPLIT))
    _replace(copy, nodes)
    return copy


def _split(name: str, out: str) -> list[NodeProto]:
    scaled, rest = f"{out}/scaled", f"{out}/rest"
    return [
        helper.make_node("Mul", [name, _SPLIT], [scaled]),
        helper.make_node("Sub", [scaled, name], [rest]),
        helper.make_node("Sub", [scaled, rest], [out]),
    ]


def _copy(model: ModelProto) -> ModelProto:
    copy = ModelProto()
    copy.CopyFrom(model)
    return copy


def _replace(model: ModelProto, nodes: list[NodeProto]) -> None:
    del model.graph.node[:]
    model.graph.node.extend(nodes)
