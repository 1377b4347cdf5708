"""An ONNX graph read into a TensorRT network, and the network held against the graph's ports."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..bundle.errors import EngineError
from ..bundle.spec import GraphPorts
from .messages import logger

_SHOWN = 8
_DTYPES = {
    "FLOAT": "float32",
    "HALF": "float16",
    "BF16": "bfloat16",
    "INT8": "int8",
    "UINT8": "uint8",
    "INT32": "int32",
    "INT64": "int64",
    "BOOL": "bool",
    "FP8": "float8",
}


def read_network(trt: Any, title: str, builder: Any, graph: str, path: Path) -> Any:
    """The strongly typed network of an ONNX file: every tensor has the type that the file gives it.

    Args:
        title: what errors call TensorRT.

    Raises:
        EngineError: not an ONNX file, or nodes that TensorRT does not take; each is named with its reason.
    """
    if not path.is_file():
        raise EngineError(f"{graph}: {path} is missing; export the bundle again")
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger(trt))
    read = parser.parse_from_file(str(path))
    # An empty file is an empty graph to the parser, and so is much that is no ONNX at all.
    if read and network.num_outputs:
        return network
    faults = [parser.get_error(index) for index in range(parser.num_errors)]
    nodes = [_node(fault) for fault in faults if fault.node_operator()]
    if not nodes:
        reason = "; ".join(dict.fromkeys(fault.desc() for fault in faults)) or "it holds no graph"
        raise EngineError(f"{graph}: {path.name} can't be read as ONNX: {reason}. Export the bundle again")
    shown = "; ".join(nodes[:_SHOWN])
    more = f"; and {len(nodes) - _SHOWN} more" if len(nodes) > _SHOWN else ""
    raise EngineError(f"{graph}: {title} does not take {shown}{more}")


def _node(fault: Any) -> str:
    name = fault.node_name() or f"number {fault.node()}"
    reason = " ".join(fault.desc().split())
    if "Plugin not found" in reason:
        reason = "it is no operator of ONNX and no plugin that is loaded"
    elif reason == "false":
        reason = "it gave no reason"
    return f"{fault.node_operator()} (node {name}; {fault.code().name.lower().replace('_', ' ')}): {reason}"


def check_ports(graph: str, network: Any, ports: GraphPorts) -> None:
    """Compare a network's inputs and outputs with the ports of its graph: names, order, dtypes, fixed dimensions.

    Raises:
        EngineError: they differ.
    """
    found = (
        [network.get_input(index) for index in range(network.num_inputs)],
        [network.get_output(index) for index in range(network.num_outputs)],
    )
    for kind, tensors, wanted in zip(("inputs", "outputs"), found, (ports.inputs, ports.outputs), strict=True):
        have = [(tensor.name, dtype(tensor.dtype), tuple(tensor.shape)) for tensor in tensors]
        want = [(port.name, port.dtype, port.shape) for port in wanted]
        if have != want:
            raise EngineError(f"{graph}: TensorRT reads the {kind} {_list(have)}, the bundle promises {_list(want)}")


def dtype(value: Any) -> str:
    """Numpy's name of a TensorRT data type."""
    name = str(value.name)
    return _DTYPES.get(name, name.lower())


def _list(rows: list[tuple[str, str, tuple[int, ...]]]) -> str:
    return ", ".join(f"{name} {kind} {list(shape)}" for name, kind, shape in rows)
