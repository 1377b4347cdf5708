"""A model's functions to ONNX files."""

from __future__ import annotations

import contextlib
import inspect
import io
import logging
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import Tensor, nn

from . import custom_node
from .bundle.errors import BundleError
from .bundle.ports import GRAPHS, SCORER, VIDEO_ENCODER
from .bundle.spec import GraphPorts
from .graphs import graphs, ports, random_video_inputs
from .systems.contract import System

OPSET = 18


def write_graphs(system: System, folder: Path, done: Callable[[int], None] = lambda graphs: None) -> None:
    """Write ``video_encoder.onnx``, ``text_encoder.onnx`` and ``scorer.onnx`` into ``folder``.

    Batch dimensions and, where the system allows it, the text's length are dynamic. A scorer that a TensorRT plugin
    can take over is a single node, see ``custom_node``. ``done`` is called with 1 after each graph.

    Raises:
        BundleError: a written graph's inputs or outputs are not those that ``ports`` promises.
    """
    modules, promised = graphs(system), ports(system)
    for name in GRAPHS:
        write_graph(modules[name], _example(system, name), promised[name], folder / f"{name}.onnx")
        done(1)
    if system.plugin_node is not None:
        scorer = folder / f"{SCORER}.onnx"
        custom_node.put_behind_node(scorer, system.plugin_node)
        _verify(scorer, promised[SCORER])


def write_graph(module: nn.Module, example: tuple[Tensor, ...], promised: GraphPorts, path: Path) -> None:
    """Export one module under the names and symbolic dimensions of its ports, then verify what was written."""
    # One Dim object a name, so that inputs that share a name share the dimension.
    names = {d for port in promised.inputs for d in port.dims if isinstance(d, str)}
    symbols = {name: torch.export.Dim(name, min=1) for name in names}
    dynamic: tuple[Any, ...] = tuple(
        {axis: symbols[d] for axis, d in enumerate(port.dims) if isinstance(d, str)} for port in promised.inputs
    )
    if any(p.kind is p.VAR_POSITIONAL for p in inspect.signature(module.forward).parameters.values()):
        # The exporter takes all of ``*inputs`` as one argument.
        dynamic = (dynamic,)
    with _quiet():
        torch.onnx.export(
            module,
            example,
            str(path),
            dynamo=True,
            external_data=False,
            opset_version=OPSET,
            input_names=[port.name for port in promised.inputs],
            output_names=[port.name for port in promised.outputs],
            dynamic_shapes=dynamic,
            verbose=False,
        )
    _verify(path, promised)


def _example(system: System, name: str) -> tuple[Tensor, ...]:
    # Sizes above one and unlike any fixed dimension, so that the exporter takes none of them for a constant.
    generator = torch.Generator().manual_seed(0)
    if name == VIDEO_ENCODER:
        return random_video_inputs(system, 2, generator)
    if name == SCORER:
        inputs = ports(system)[SCORER].inputs
        sizes = {"queries": 3, "videos": 5}
        shapes = [tuple(sizes[d] if isinstance(d, str) else d for d in port.dims) for port in inputs]
        return tuple(torch.randn(shape, generator=generator) for shape in shapes)
    return (system.random_token_ids(3, system.max_tokens if system.fixed_length else 7, generator),)


def _verify(path: Path, promised: GraphPorts) -> None:
    graph = onnx.load(str(path), load_external_data=False)
    onnx.checker.check_model(graph, full_check=False)
    for values, wanted in ((graph.graph.input, promised.inputs), (graph.graph.output, promised.outputs)):
        for value, port in zip(values, wanted, strict=True):
            tensor = value.type.tensor_type
            dims = tuple(d.dim_param or d.dim_value for d in tensor.shape.dim)
            fixed = tuple(d if isinstance(d, int) else -1 for d in dims)
            dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type).name
            if (value.name, dtype, fixed) != (port.name, port.dtype, port.shape):
                raise BundleError(
                    f"{path.name}: wrote {value.name} {dtype} {list(dims)}, "
                    f"the contract is {port.name} {port.dtype} {list(port.dims)}"
                )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    # The exporter reports its steps on stdout and warns about its own internals.
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
