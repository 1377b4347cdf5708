"""What a ModelInfer request asks for, checked before any model sees it.

Triton server multiplies the sizes of a shape in 64 bits and believes what it is told, so everything here is compared in
Python's integers: names, types, numbers of dimensions, signs, and products against bytes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from ...export.bundle.checks import check_feature_bytes, check_video_bytes
from ...export.bundle.errors import InvalidRequest
from ...export.bundle.models import ARRAYS, MAX_VIDEO
from ...export.bundle.ports import FEATURES, VIDEO
from .contents import raw_contents
from .options import read_options
from .public import Port, Public

_LARGEST_SIZE = 1 << 31
_LONGEST_ID = 256


class Input(NamedTuple):
    """One input that a request announces; ``size`` is its bytes."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    size: int


class Asked(NamedTuple):
    """What a request asks for: its inputs in its own order, the outputs it wants, and options as JSON."""

    id: str
    inputs: tuple[Input, ...]
    outputs: tuple[str, ...]
    options: bytes = b""

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of one input."""
        return next(found.shape for found in self.inputs if found.name == name)


def read_request(request: Any, public: Public) -> Asked:
    """Check all of a request but its tensors' bytes.

    Args:
        request: a ModelInferRequest.
        public: the model that it names.

    Raises:
        InvalidRequest: it doesn't fit the model; the message says where.
        InvalidVideo, InvalidFeatures: a video or a feature file that is too large.
    """
    if len(request.id) > _LONGEST_ID:
        raise InvalidRequest(f"the request's id has {len(request.id)} characters, the limit is {_LONGEST_ID}")
    options = read_options(request.parameters, public) if request.parameters or public.given else b""
    sizes: dict[str, int] = {}
    inputs: dict[str, Input] = {}
    for tensor in request.inputs:
        port = public.inputs.get(tensor.name)
        if port is None:
            if tensor.name in (VIDEO, FEATURES):
                raise InvalidRequest(_other_kind(tensor.name, public))
            raise InvalidRequest(f"{public.name} has no input {_shown(tensor.name)}; it has {', '.join(public.inputs)}")
        if tensor.name in inputs:
            raise InvalidRequest(f"the input {tensor.name} comes twice")
        inputs[tensor.name] = _input(tensor, port, public, sizes)
    if len(inputs) < len(public.inputs):
        optional = {name for name, port in public.inputs.items() if port.optional}
        missing = public.inputs.keys() - inputs.keys() - (set() if optional & inputs.keys() else optional)
        if missing:
            raise InvalidRequest(f"{public.name} needs the inputs {', '.join(sorted(missing))}")
    total = sum(found.size for found in inputs.values())
    if VIDEO in inputs and MAX_VIDEO in public.parameters:
        check_video_bytes(inputs[VIDEO].size, int(public.parameters[MAX_VIDEO]))
    if FEATURES in inputs:
        check_feature_bytes(inputs[FEATURES].size)
    if total > public.largest:
        raise InvalidRequest(f"the request's tensors have {total} bytes, the limit is {public.largest}")
    return Asked(request.id, tuple(inputs.values()), _outputs(request.outputs, public, bool(options)), options)


def read_tensors(request: Any, asked: Asked) -> list[bytes]:
    """The bytes of every input, in order, from either of the forms in which a request may hold them.

    Raises:
        InvalidRequest: bytes that are not as many as a shape says, or both forms at once.
    """
    if request.raw_input_contents:
        if any(tensor.HasField("contents") for tensor in request.inputs):
            raise InvalidRequest("send tensors either as raw_input_contents or as contents, not as both")
        tensors = list(request.raw_input_contents)
    else:
        tensors = [raw_contents(tensor) for tensor in request.inputs]
    check_sizes([len(raw) for raw in tensors], asked.inputs)
    return tensors


def check_sizes(sizes: Sequence[int], inputs: Sequence[Input]) -> None:
    """Compare the bytes sent with those of the shapes announced.

    Raises:
        InvalidRequest: they differ.
    """
    if len(sizes) != len(inputs):
        raise InvalidRequest(f"the request has {len(inputs)} inputs and the bytes of {len(sizes)}")
    for size, wanted in zip(sizes, inputs, strict=True):
        if size != wanted.size:
            raise InvalidRequest(
                f"{wanted.name} has the shape {list(wanted.shape)} of {wanted.datatype}, {wanted.size} bytes, and "
                f"{size} were sent"
            )


def _input(tensor: Any, port: Port, public: Public, sizes: dict[str, int]) -> Input:
    if tensor.parameters:
        _check_parameters(tensor.parameters.keys(), f"the input {tensor.name}")
    if tensor.datatype != port.datatype:
        raise InvalidRequest(
            f"{tensor.name} has the data-type {_shown(tensor.datatype)}, {public.name} takes {port.datatype}"
        )
    shape = tuple(tensor.shape)
    if len(shape) != len(port.dims):
        raise InvalidRequest(_misfit(tensor.name, shape, port, public))
    for size, dim in zip(shape, port.dims, strict=True):
        # Sizes of one name are one size, in every input.
        wanted = sizes.setdefault(dim, size) if isinstance(dim, str) else dim
        if size != wanted or not 0 <= size <= _LARGEST_SIZE:
            raise InvalidRequest(_misfit(tensor.name, shape, port, public))
    if public.max_batch and not 1 <= shape[0] <= public.max_batch:
        raise InvalidRequest(
            f"{public.name} takes a batch of 1 to {public.max_batch} rows, {tensor.name} has {shape[0]}"
        )
    return Input(tensor.name, tensor.datatype, shape, math.prod(shape) * port.itemsize)


def _other_kind(name: str, public: Public) -> str:
    """What to bring where a film was sent for features, or the other way round."""
    if name == FEATURES and VIDEO in public.inputs:
        return "the model reads films, not feature files: bring the film itself"
    if name == VIDEO and FEATURES in public.inputs:
        arrays = public.parameters.get(ARRAYS, "")
        return f"the model reads feature files, not films: bring an npz or safetensors file of {arrays}"
    return f"{public.name} takes neither films nor feature files; it takes {', '.join(public.inputs)}"


def _outputs(asked: Sequence[Any], public: Public, detailed: bool) -> tuple[str, ...]:
    there = tuple(name for name, port in public.outputs.items() if detailed or not port.optional)
    if not asked:
        return there
    names = [output.name for output in asked]
    for output in asked:
        if output.name not in there:
            beside = "" if output.name not in public.outputs else " without parameters"
            raise InvalidRequest(
                f"{public.name} has no output {_shown(output.name)}{beside}; it has {', '.join(there)}"
            )
        if output.parameters:
            _check_parameters(output.parameters.keys(), f"the output {output.name}")
    if len(set(names)) < len(names):
        raise InvalidRequest("an output is asked for twice")
    return tuple(names)


def _check_parameters(keys: Any, where: str) -> None:
    if found := sorted(keys):
        raise InvalidRequest(f"{where} takes no parameter {_shown(found[0])}")


def _misfit(name: str, shape: tuple[int, ...], port: Port, public: Public) -> str:
    wanted = ", ".join(map(str, port.dims))
    return f"{name} has the shape {list(shape)}, {public.name} takes [{wanted}]"


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:56] + " ...")
