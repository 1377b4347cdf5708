"""An ONNX graph in another precision: TensorRT networks are strongly typed, so a precision is a graph's property.

``onnxconverter_common.float16`` and its twin in ONNX Runtime decide by lists of operators, clamp weights that overflow,
and know no bfloat16; ModelOpt's AutoCast needs CUDA's cupy. What is needed here is less: the products named in
``products`` and what only moves their results become low, everything else keeps float32.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from ..bundle.errors import PrecisionError
from .products import MOVES, attention_products, drop_unused, load_folded, weight_products
from .stages import stage_of_nodes

COPIED = ("fp32", "tf32")
LOW = {"fp16": TensorProto.FLOAT16, "bf16": TensorProto.BFLOAT16}
PRECISIONS = (*COPIED, *LOW)
_DTYPES: dict[int, np.dtype[Any]] = {
    TensorProto.FLOAT16: np.dtype(np.float16),
    TensorProto.BFLOAT16: np.dtype(ml_dtypes.bfloat16),
}


def typed_graph(source: Path, out: Path, precision: str) -> None:
    """Write the graph ``source`` in another precision; inputs, outputs and dynamic dimensions stay as they are.

    Residual sums, norms, softmax with its masks, activations and the record's epilogue stay float32, with casts at
    the borders of the low products. In bf16 convolutions stay float32 too: ONNX has no bfloat16 Conv before opset 22.

    Args:
        precision: one of ``PRECISIONS``. ``fp32`` and ``tf32`` are copies: TF32 is a flag of TensorRT's builder, which
            rounds the inputs of *every* float32 product. Leave it off for the other precisions.

    Raises:
        PrecisionError: an unknown precision, or weights that fp16 can't hold; all of them are named.
    """
    if precision in COPIED:
        shutil.copyfile(source, out)
        return
    if precision not in LOW:
        raise PrecisionError(f"the precision {precision!r} is unknown, known: {', '.join(PRECISIONS)}")
    model = load_folded(source)
    lowered(model, LOW[precision])
    onnx.checker.check_model(model)
    onnx.save(model, str(out))


def lowered(model: ModelProto, low: int) -> None:
    """Rewrite ``model`` in place; ``low`` is the ONNX element type of its low tensors."""
    core = [*weight_products(model), *attention_products(model)]
    if low == TensorProto.BFLOAT16:
        core = [node for node in core if node.op_type != "Conv"]
    _Lowering(model, low, core).run()


class _Lowering:
    def __init__(self, model: ModelProto, low: int, core: Iterable[NodeProto]) -> None:
        self.model, self.graph, self.low = model, model.graph, low
        self.core = {node.output[0] for node in core}
        self.outputs = {value.name for value in self.graph.output}
        self.constants = {t.name: t for t in self.graph.initializer}
        self.lowered: set[str] = set()
        self.made: dict[tuple[str, int], str] = {}
        self.nodes: list[NodeProto] = []
        self.faults: list[str] = []

    def run(self) -> None:
        for node, stage in zip(self.graph.node, stage_of_nodes(self.model), strict=True):
            if node.output[0] in self.core:
                self._all_low(node, list(range(len(node.input))), stage)
            elif places := self._follows(node):
                self._all_low(node, places, stage)
            else:
                for i, name in enumerate(node.input):
                    if name in self.lowered:
                        node.input[i] = self._cast(name, TensorProto.FLOAT)
            self.nodes.append(node)
        if self.faults:
            raise PrecisionError(f"fp16 can't hold these weights, use bf16: {'; '.join(self.faults)}")
        del self.graph.node[:]
        self.graph.node.extend(self.nodes)
        drop_unused(self.model)
        for value in self.graph.value_info:
            if value.name in self.lowered:
                value.type.tensor_type.elem_type = self.low

    def _follows(self, node: NodeProto) -> list[int]:
        """The inputs that hold numbers, if a node passes low numbers on without computing much; else nothing."""
        if self.outputs & set(node.output):
            return []
        if node.op_type in MOVES:
            places = list(range(len(node.input))) if node.op_type == "Concat" else [0]
            return places if all(node.input[i] in self.lowered for i in places) else []
        # A bias or a scale right behind the product rounds as the product itself does.
        if node.op_type not in ("Add", "Mul") or not self.lowered & set(node.input):
            return []
        others = [self.constants.get(name) for name in node.input if name not in self.lowered]
        if len(others) != 1 or others[0] is None:
            return []
        size = int(np.prod(others[0].dims))
        return [0, 1] if size == 1 or (node.op_type == "Add" and len(others[0].dims) == 1) else []

    def _all_low(self, node: NodeProto, places: list[int], stage: str) -> None:
        for i in places:
            name = node.input[i]
            if name in self.constants:
                node.input[i] = self._constant(name, stage)
            elif name and name not in self.lowered:
                node.input[i] = self._cast(name, self.low)
        self.lowered.update(node.output)

    def _cast(self, name: str, to: int) -> str:
        if (name, to) not in self.made:
            self.made[name, to] = f"{name}/{TensorProto.DataType.Name(to).lower()}"
            self.nodes.append(helper.make_node("Cast", [name], [self.made[name, to]], to=to))
        return self.made[name, to]

    def _constant(self, name: str, stage: str) -> str:
        if (name, self.low) not in self.made:
            values = numpy_helper.to_array(self.constants[name])
            with np.errstate(over="ignore"):
                small = values.astype(_DTYPES[self.low])
            if not np.isfinite(small.astype(np.float32)).all():
                self.faults.append(f"{name} in {stage} reaches {np.abs(values).max():.3g}")
            self.made[name, self.low] = f"{name}/{TensorProto.DataType.Name(self.low).lower()}"
            self.graph.initializer.append(_tensor(small, self.made[name, self.low], self.low))
        return self.made[name, self.low]


def _tensor(values: np.ndarray[tuple[int, ...], np.dtype[np.generic]], name: str, dtype: int) -> TensorProto:
    return helper.make_tensor(name, dtype, values.shape, values.tobytes(), raw=True)
