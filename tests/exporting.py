"""What makes many exports bearable."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

from framesift.export.bundle.store import Bundle


def built_once(folder: Path, build: Callable[[Path], Bundle]) -> Bundle:
    """The bundle at ``folder``, built by the first process that asks for it; whoever reads it leaves it as it is."""
    with FileLock(f"{folder}.lock"):
        if folder.exists():
            return Bundle.open(folder)
        read_library_once()
        return build(folder)


def read_library_once() -> None:
    """Have torch's exporter read its library of translations once and not, a second each, at every call."""
    from torch.onnx._internal.exporter._registration import ONNXRegistry

    if not isinstance(ONNXRegistry.__dict__["from_torchlib"], staticmethod):
        ONNXRegistry.from_torchlib = staticmethod(functools.cache(ONNXRegistry.from_torchlib))  # type: ignore[assignment, method-assign]
