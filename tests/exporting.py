"""What makes many exports in one process bearable."""

from __future__ import annotations

import functools


def read_library_once() -> None:
    """Have torch's exporter read its library of translations once and not, a second each, at every call."""
    from torch.onnx._internal.exporter._registration import ONNXRegistry

    if not isinstance(ONNXRegistry.__dict__["from_torchlib"], staticmethod):
        ONNXRegistry.from_torchlib = staticmethod(functools.cache(ONNXRegistry.from_torchlib))  # type: ignore[assignment, method-assign]
