"""TensorRT's own Python code for plugins over a stand-in of its native module.

The wheel tensorrt-cu13-bindings carries the Python sources of ``tensorrt.plugin``; the native libraries that the rest
of it loads are not on the package index. Here are the few native classes that those sources use, as far as they use
them, and a driver that calls a plugin in a builder's order.
"""

from __future__ import annotations

import enum
import importlib.util
import sys
import types
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np


class DataType(enum.Enum):
    FLOAT = 0
    HALF = 1
    INT8 = 2
    INT32 = 3


class DimensionOperation(enum.Enum):
    SUM = enum.auto()
    SUB = enum.auto()
    PROD = enum.auto()
    MAX = enum.auto()
    MIN = enum.auto()
    EQUAL = enum.auto()
    LESS = enum.auto()
    FLOOR_DIV = enum.auto()
    CEIL_DIV = enum.auto()


OPERATIONS: dict[DimensionOperation, Callable[[int, int], int]] = {
    DimensionOperation.SUM: lambda a, b: a + b,
    DimensionOperation.SUB: lambda a, b: a - b,
    DimensionOperation.PROD: lambda a, b: a * b,
    DimensionOperation.FLOOR_DIV: lambda a, b: a // b,
    DimensionOperation.CEIL_DIV: lambda a, b: -(-a // b),
}


class IDimensionExpr:
    """A number of the network, computed of the sizes that an execution has."""

    def __init__(self, at: Callable[[dict[str, int]], int], constant: bool) -> None:
        self.at = at
        self.constant = constant

    def is_constant(self) -> bool:
        return self.constant

    def get_constant_value(self) -> int:
        assert self.constant
        return self.at({})


class IExprBuilder:
    def constant(self, value: int) -> IDimensionExpr:
        return IDimensionExpr(lambda _: value, True)

    def operation(self, op: DimensionOperation, a: IDimensionExpr, b: IDimensionExpr) -> IDimensionExpr:
        return IDimensionExpr(lambda sizes: OPERATIONS[op](a.at(sizes), b.at(sizes)), a.constant and b.constant)


class Dims(tuple[int, ...]):
    MAX_DIMS = 8


class Logger:
    WARNING = 2

    def log(self, severity: int, text: str) -> None:
        assert "experimental" in text


class DimsExprs(list[Any]):
    def __init__(self, length: int) -> None:
        super().__init__([None] * length)


@dataclass
class PluginTensorDesc:
    dims: Sequence[int] = ()
    type: Any = None
    format: Any = None
    scale: float = 0.0


@dataclass
class DynamicPluginTensorDesc:
    desc: PluginTensorDesc
    opt: Sequence[int] = ()
    min: Sequence[int] = ()
    max: Sequence[int] = ()


@dataclass
class PluginField:
    name: str
    data: Any = None
    type: Any = None


@dataclass
class Registry:
    creators: dict[tuple[str, str, str], Any] = field(default_factory=dict)

    def register_creator(self, creator: Any, namespace: str) -> None:
        self.creators[creator.name, creator.plugin_version, namespace] = creator

    def get_creator(self, name: str, version: str, namespace: str) -> Any:
        return self.creators[name, version, namespace]


def _names(name: str, *members: str) -> Any:
    return enum.Enum(name, list(members))


def native() -> types.ModuleType:
    """A module that offers what TensorRT's native one offers to the sources of its plugins."""
    module = types.ModuleType("tensorrt")
    plain = (
        "IPluginV3 IPluginV3QuickCore IPluginV3QuickBuild IPluginV3QuickRuntime IPluginV3QuickAOTBuild "
        "IPluginCreatorV3Quick ITensor ISymExpr"
    )
    for name in plain.split():
        setattr(module, name, type(name, (), {}))
    registry = Registry()
    offered: dict[str, Any] = {
        "DataType": DataType,
        "float32": DataType.FLOAT,
        "float16": DataType.HALF,
        "int8": DataType.INT8,
        "int32": DataType.INT32,
        "DimensionOperation": DimensionOperation,
        "IDimensionExpr": IDimensionExpr,
        "IExprBuilder": IExprBuilder,
        "Logger": Logger,
        "Dims": Dims,
        "DimsExprs": DimsExprs,
        "PluginTensorDesc": PluginTensorDesc,
        "DynamicPluginTensorDesc": DynamicPluginTensorDesc,
        "PluginField": PluginField,
        "PluginFieldCollection": list,
        "PluginFieldType": _names(
            "PluginFieldType", "CHAR", "UNKNOWN", "INT8", "INT16", "INT32", "INT64", "FLOAT16", "FLOAT32", "FLOAT64"
        ),
        "PluginArgType": _names("PluginArgType", "INT"),
        "PluginArgDataType": _names("PluginArgDataType", "INT8", "INT16", "INT32"),
        "TensorFormat": _names("TensorFormat", "LINEAR", "HWC"),
        "TensorRTPhase": _names("TensorRTPhase", "BUILD", "RUNTIME"),
        "QuickPluginCreationRequest": _names(
            "QuickPluginCreationRequest", "UNKNOWN", "PREFER_JIT", "PREFER_AOT", "STRICT_JIT", "STRICT_AOT"
        ),
        "get_plugin_registry": lambda: registry,
    }
    for name, value in offered.items():
        setattr(module, name, value)
    return module


def sources() -> Path | None:
    """The folder that holds TensorRT's ``plugin`` package, None where the wheel isn't installed."""
    spec = importlib.util.find_spec("tensorrt_bindings")
    if spec is None or not spec.submodule_search_locations:
        return None
    folder = Path(spec.submodule_search_locations[0])
    return folder if (folder / "plugin" / "_lib.py").exists() else None


@contextmanager
def installed(folder: Path) -> Iterator[types.ModuleType]:
    """``tensorrt`` and ``tensorrt.plugin``, as long as the context lasts."""
    module = native()
    module.__path__ = [str(folder)]
    hidden = _taken_out()
    sys.modules["tensorrt"] = module
    try:
        yield module
    finally:
        _taken_out()
        sys.modules.update(hidden)


def _taken_out() -> dict[str, types.ModuleType]:
    """What is imported of TensorRT, and of the plugin that registers itself there: imported no longer."""
    names = [name for name in sys.modules if name.partition(".")[0] == "tensorrt" or name.endswith("tensorrt_plugin")]
    return {name: sys.modules.pop(name) for name in names}


@dataclass
class Planned:
    """What a builder learns from a plugin about one tactic; sizes give the symbolic numbers values."""

    output_types: list[DataType]
    output_shapes: list[list[IDimensionExpr]]
    tactics: list[int]
    kernel: str
    ptx: str
    grid: list[IDimensionExpr]
    block: list[IDimensionExpr]
    shared: IDimensionExpr
    extra: list[Any]


def drive(
    trt: types.ModuleType,
    plugin_id: str,
    dims: Sequence[Sequence[int | str]],
    dtypes: Sequence[DataType],
    attributes: dict[str, int],
    tactic: int,
) -> Planned:
    """Ask a registered plugin everything, as the builder does for an ONNX node with ``aot`` = 1.

    Args:
        dims: of every input; names stand for sizes that only an execution knows.
        attributes: what the parser passes on, as int32.
    """
    namespace, name = plugin_id.split("::")
    creator = trt.get_plugin_registry().get_creator(name, "1", namespace)
    fields = [PluginField(key, np.array([value], np.int32)) for key, value in attributes.items()]
    request = trt.QuickPluginCreationRequest.STRICT_AOT
    plugin = creator.create_plugin(name, namespace, fields, trt.TensorRTPhase.BUILD, request)

    output_types = plugin.get_output_data_types(list(dtypes), [len(d) for d in dims])
    exprs = [[_expression(size) for size in d] for d in dims]
    output_shapes = plugin.get_output_shapes(exprs, [], IExprBuilder())
    ranks = [*map(len, dims), *map(len, output_shapes)]
    linear = trt.TensorFormat.LINEAR
    both = [
        DynamicPluginTensorDesc(PluginTensorDesc([-1] * rank, dtype, linear))
        for rank, dtype in zip(ranks, [*dtypes, *output_types], strict=True)
    ]
    plugin.get_supported_format_combinations(both, len(dims))
    plugin.configure_plugin(both[: len(dims)], both[len(dims) :])
    tactics = plugin.get_valid_tactics()
    plugin.set_tactic(tactic)
    launch, extra = types.SimpleNamespace(), _Extra()
    plugin.get_launch_params(exprs, both, len(dims), launch, extra, IExprBuilder())
    kernel, ptx = plugin.get_kernel([x.desc for x in both[: len(dims)]], [x.desc for x in both[len(dims) :]])
    return Planned(
        output_types=output_types,
        output_shapes=output_shapes,
        tactics=tactics,
        kernel=kernel,
        ptx=ptx.decode(),
        grid=[getattr(launch, f"grid_{axis}").expr for axis in "xyz"],
        block=[getattr(launch, f"block_{axis}").expr for axis in "xyz"],
        shared=launch.shared_mem.expr,
        extra=[extra[i] for i in range(extra.nbSymExprs)],
    )


class _Extra(dict[int, Any]):
    nbSymExprs = 0  # noqa: N815 - TensorRT's name


def _expression(size: int | str) -> IDimensionExpr:
    if isinstance(size, int):
        return IDimensionExpr(lambda _: size, True)
    return IDimensionExpr(lambda sizes: sizes[size], False)
