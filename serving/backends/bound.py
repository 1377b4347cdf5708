"""A session of ONNX Runtime on a GPU whose inputs and outputs stay in the GPU's memory, one set for every shape.

With graphs, what a call launches is recorded once for a shape and replayed from then on: a call is one launch instead
of hundreds. Batches are then filled up to one of a few sizes, if it is less than twice as large.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

Arrays = Mapping[str, npt.NDArray[Any]]

# Shapes that are recorded at most: each keeps its outputs. Others run as they are.
_MOST = 32
# The number under which nothing is recorded.
_UNRECORDED = "-1"


@dataclass(frozen=True)
class _Call:
    """What one shape is bound to."""

    inputs: Mapping[str, Any]
    binding: Any
    options: Any


class BoundSession:
    """Runs ``session``, not from several threads.

    Args:
        device: ONNX Runtime's name of where tensors lie, ``cuda`` or ``cpu``, and its number.
        batches: sizes, ascending, to which batches are filled up and recorded; none: nothing is.
    """

    def __init__(self, session: Any, device: tuple[str, int], batches: Sequence[int] = ()) -> None:
        self._session, self._device, self._batches = session, device, batches
        self._calls: dict[Any, _Call] = {}

    def run(self, names: Sequence[str], feeds: Arrays) -> list[npt.NDArray[Any]]:
        """As a session's ``run``; with ``batches`` all inputs and outputs have as many rows."""
        if not self._batches:
            return self._unrecorded(names, feeds)
        count = len(next(iter(feeds.values())))
        # A batch of which more than half would be filling is better run as it is.
        size = next((size for size in self._batches if size // 2 < count <= size), None)
        if size is None:
            return self._unrecorded(names, feeds)
        full = {name: _filled(values, size) for name, values in feeds.items()}
        shapes = tuple(sorted((name, values.shape) for name, values in full.items()))
        call = self._calls.get(shapes)
        if call is None:
            if len(self._calls) == _MOST:
                return self._unrecorded(names, feeds)
            call = self._calls[shapes] = self._recorded(names, full)
        for name, values in full.items():
            call.inputs[name].update_inplace(np.ascontiguousarray(values))
        self._session.run_with_iobinding(call.binding, call.options)
        return [values[:count] for values in call.binding.copy_outputs_to_cpu()]

    def _unrecorded(self, names: Sequence[str], feeds: Arrays) -> list[npt.NDArray[Any]]:
        binding = self._bound(self._sent(feeds))
        for name in names:
            binding.bind_output(name, *self._device)
        self._session.run_with_iobinding(binding, _numbered(_UNRECORDED) if self._batches else None)
        found: list[npt.NDArray[Any]] = binding.copy_outputs_to_cpu()
        return found

    def _recorded(self, names: Sequence[str], feeds: Arrays) -> _Call:
        """Room for a shape's outputs, whose shapes a call tells that isn't recorded."""
        outputs = self._unrecorded(names, feeds)
        inputs = self._sent(feeds)
        binding = self._bound(inputs)
        for name, values in zip(names, outputs, strict=True):
            place = ort.OrtValue.ortvalue_from_shape_and_type(values.shape, values.dtype, *self._device)
            binding.bind_ortvalue_output(name, place)
        return _Call(inputs, binding, _numbered(str(len(self._calls))))

    def _sent(self, feeds: Arrays) -> dict[str, Any]:
        return {
            name: ort.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(values), *self._device)
            for name, values in feeds.items()
        }

    def _bound(self, inputs: Mapping[str, Any]) -> Any:
        binding = self._session.io_binding()
        for name, value in inputs.items():
            binding.bind_ortvalue_input(name, value)
        return binding


def _numbered(graph: str) -> Any:
    options = ort.RunOptions()
    options.add_run_config_entry("gpu_graph_id", graph)
    return options


def _filled(values: npt.NDArray[Any], size: int) -> npt.NDArray[Any]:
    """Rows up to ``size``: the last one again, which is as good an input as any."""
    missing = size - len(values)
    return np.concatenate([values, np.repeat(values[-1:], missing, axis=0)]) if missing else values
