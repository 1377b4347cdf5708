"""Towers with 8-bit products, by ONNX Runtime's quantiser: explicit Q/DQ for TensorRT, dynamic or static for a CPU.

Only products with weights in the towers' blocks are quantised, weights symmetric and by output channel: there lies the
work. Patch embedding, projections, attention products, norms, softmax and the scorer stay float32.
"""

from __future__ import annotations

import io
import logging
import shutil
import warnings
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any, Literal

from onnx import ModelProto
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)

from .calibration import Feeds
from .products import load_folded, weight_products
from .stages import is_block, stage_of_nodes

Bits = Literal["int8", "fp8"]
Scheme = Literal["dynamic", "static"]
SCHEMES: tuple[Scheme, ...] = ("dynamic", "static")


def qdq_graph(
    source: Path, out: Path, inputs: Sequence[Feeds], *, bits: Bits = "int8", floating: Collection[str] = ()
) -> None:
    """Write a graph with explicit Q/DQ for TensorRT: signed, symmetric, activations by tensor from ``inputs``.

    What is not quantised stays float32.

    Args:
        inputs: of the graph; their smallest and largest activations set the scales, in fp8 how they are distributed.
        bits: ``int8``, or ``fp8``: e4m3, which GPUs from compute capability 8.9 on multiply.
        floating: stages that are not quantised.
    """
    if bits == "int8":
        _static(source, out, inputs, floating, activations=QuantType.QInt8, reduce_range=False)
        return
    with redirect_stdout(io.StringIO()):
        _static(
            source,
            out,
            inputs,
            floating,
            activations=QuantType.QFLOAT8E4M3FN,
            reduce_range=False,
            weight_type=QuantType.QFLOAT8E4M3FN,
            calibrate_method=CalibrationMethod.Distribution,
        )


def cpu_graph(
    source: Path, out: Path, inputs: Sequence[Feeds], *, scheme: Scheme, floating: Collection[str] = ()
) -> None:
    """Write a graph for ONNX Runtime's CPU: unsigned activations, weights of 7 bits.

    Processors without VNNI add pairs of 8-bit products in 16 bits, which 8-bit weights would saturate. The dynamic
    scheme takes one range over the whole batch, so other rows of the batch move a row's record, by up to one per cent.

    Args:
        inputs: of the graph; the static scheme takes the activations' range from them. Not read by the dynamic one,
            which measures it at every call.
        floating: stages that are not quantised.
    """
    if scheme == "static":
        _static(source, out, inputs, floating, activations=QuantType.QUInt8, reduce_range=True)
        return
    _quantise(source, out, floating, quantize_dynamic, op_types_to_quantize=["MatMul"], reduce_range=True)


def quantisable_stages(source: Path) -> list[str]:
    """The stages of a graph that hold products which can be quantised, in order."""
    model = load_folded(source)
    wanted = set(_chosen(model, ()))
    where = zip(model.graph.node, stage_of_nodes(model), strict=True)
    return list(dict.fromkeys(stage for node, stage in where if node.name in wanted))


def _static(
    source: Path,
    out: Path,
    inputs: Sequence[Feeds],
    floating: Collection[str],
    *,
    activations: QuantType,
    reduce_range: bool,
    **more: Any,
) -> None:
    _quantise(
        source,
        out,
        floating,
        quantize_static,
        calibration_data_reader=_Reader(inputs),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=["MatMul", "Gemm", "Conv"],
        reduce_range=reduce_range,
        activation_type=activations,
        **more,
        extra_options={
            "ActivationSymmetric": activations != QuantType.QUInt8,
            "WeightSymmetric": True,
            # A product's result goes on to float32 operators.
            "OpTypesToExcludeOutputQuantization": ["MatMul", "Gemm", "Conv"],
        },
    )


def _quantise(
    source: Path, out: Path, floating: Collection[str], quantiser: Callable[..., None], **options: Any
) -> None:
    model = load_folded(source)
    chosen = _chosen(model, floating)
    if not chosen:
        # To the quantisers no names mean all nodes.
        shutil.copyfile(source, out)
        return
    with _quiet():
        quantiser(
            model,
            str(out),
            nodes_to_quantize=chosen,
            **{"per_channel": True, "weight_type": QuantType.QInt8, **options},
        )


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, inputs: Sequence[Feeds]) -> None:
        self._rest = iter(inputs)

    def get_next(self) -> dict[str, Any] | None:
        feeds = next(self._rest, None)
        return None if feeds is None else dict(feeds)


def _chosen(model: ModelProto, floating: Collection[str]) -> list[str]:
    wanted = {node.output[0] for node in weight_products(model)}
    where = zip(model.graph.node, stage_of_nodes(model), strict=True)
    return [
        node.name for node, stage in where if node.output[0] in wanted and is_block(stage) and stage not in floating
    ]


@contextmanager
def _quiet() -> Iterator[None]:
    # The quantiser advises on the root logger to preprocess a graph; the exporter has optimised it already.
    level = logging.getLogger().level
    logging.getLogger().setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.getLogger().setLevel(level)
