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
from onnx import ModelProto
from torch import Tensor, nn

from . import custom_node
from .bundle.errors import BundleError
from .bundle.ports import GRAPHS, LIKE_ENCODER, SCORER, VIDEO_ENCODER
from .bundle.spec import GraphPorts
from .graphs import graphs, like_graph, ports, random_video_inputs
from .onnx_file import OnnxFile
from .systems.contract import System

OPSET = 18
# The exporter's own: it captures, decomposes, translates and optimises. It prints this when one has ended.
_STAGES, _ENDED = 4, "✅"


def steps(system: System) -> int:
    """All steps of the graphs of a system: what the exporter does, and the writing."""
    return (len(GRAPHS) + bool(system.like_inputs)) * (_STAGES + 1)


def write_graphs(system: System, folder: Path, done: Callable[[int], None] = lambda steps: None) -> None:
    """Write ``video_encoder.onnx``, ``text_encoder.onnx``, ``scorer.onnx`` and, if any, ``like_encoder.onnx``.

    Batch dimensions and, where the system allows it, the text's length are dynamic. A scorer that a TensorRT plugin
    can take over is a single node, see ``custom_node``. ``done`` is called with steps of ``steps``.

    Raises:
        BundleError: a written graph's inputs or outputs are not those that ``ports`` promises.
    """
    modules, promised = {**graphs(system), **like_graph(system)}, ports(system)
    for name in modules:
        write_graph(modules[name], _example(system, name), promised[name], folder / f"{name}.onnx", done)
    if system.plugin_node is not None:
        scorer = folder / f"{SCORER}.onnx"
        custom_node.put_behind_node(scorer, system.plugin_node)
        _verify(onnx.load(str(scorer)), scorer.name, promised[SCORER])


def write_graph(
    module: nn.Module,
    example: tuple[Tensor, ...],
    promised: GraphPorts,
    path: Path,
    done: Callable[[int], None] = lambda steps: None,
) -> None:
    """Export one module under the names and symbolic dimensions of its ports, verify what came out, and write it."""
    # One Dim object a name, so that inputs that share a name share the dimension.
    names = {d for port in promised.inputs for d in port.dims if isinstance(d, str)}
    symbols = {name: torch.export.Dim(name, min=1) for name in names}
    dynamic: tuple[Any, ...] = tuple(
        {axis: symbols[d] for axis, d in enumerate(port.dims) if isinstance(d, str)} for port in promised.inputs
    )
    if any(p.kind is p.VAR_POSITIONAL for p in inspect.signature(module.forward).parameters.values()):
        # The exporter takes all of ``*inputs`` as one argument.
        dynamic = (dynamic,)
    with _quiet(done):
        program = torch.onnx.export(
            module,
            example,
            dynamo=True,
            opset_version=OPSET,
            input_names=[port.name for port in promised.inputs],
            output_names=[port.name for port in promised.outputs],
            dynamic_shapes=dynamic,
            verbose=True,
        )
    assert program is not None
    file = OnnxFile(program.model)
    _verify(file.outline(), path.name, promised, outline=True)
    file.write(path)
    done(1)


def _example(system: System, name: str) -> tuple[Tensor, ...]:
    # Sizes above one and unlike any fixed dimension, so that the exporter takes none of them for a constant.
    generator = torch.Generator().manual_seed(0)
    if name == VIDEO_ENCODER:
        return random_video_inputs(system, 2, generator)
    if name in (SCORER, LIKE_ENCODER):
        inputs = ports(system)[name].inputs
        sizes = {"queries": 3, "videos": 5, "batch": 3}
        shapes = [tuple(sizes[d] if isinstance(d, str) else d for d in port.dims) for port in inputs]
        return tuple(torch.randn(shape, generator=generator) for shape in shapes)
    return (system.random_token_ids(3, system.max_tokens if system.fixed_length else 7, generator),)


def _verify(model: ModelProto, name: str, promised: GraphPorts, *, outline: bool = False) -> None:
    onnx.checker.check_model(model, full_check=False)
    # Behind the ports an outline has its weights.
    inputs = model.graph.input[: len(promised.inputs)] if outline else model.graph.input
    for values, wanted in ((inputs, promised.inputs), (model.graph.output, promised.outputs)):
        for value, port in zip(values, wanted, strict=True):
            tensor = value.type.tensor_type
            dims = tuple(d.dim_param or d.dim_value for d in tensor.shape.dim)
            fixed = tuple(d if isinstance(d, int) else -1 for d in dims)
            dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type).name
            if (value.name, dtype, fixed) != (port.name, port.dtype, port.shape):
                raise BundleError(
                    f"{name}: wrote {value.name} {dtype} {list(dims)}, "
                    f"the contract is {port.name} {port.dtype} {list(port.dims)}"
                )


class _Stages(io.StringIO):
    """What the exporter prints, read for the stages that it has ended."""

    def __init__(self, done: Callable[[int], None]) -> None:
        super().__init__()
        self._done, self.left = done, _STAGES

    def write(self, text: str) -> int:
        if _ENDED in text and self.left:
            self.left -= 1
            self._done(1)
        return len(text)


@contextlib.contextmanager
def _quiet(done: Callable[[int], None]) -> Iterator[None]:
    # The exporter reports its steps on stdout and warns about its own internals.
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    stages = _Stages(done)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(stages):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
    # Another version may say less.
    done(stages.left)
