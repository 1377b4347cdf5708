"""Every system with random weights, small enough to export all of them in minutes."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

from ...export.graphs import with_pixels
from ...export.systems.contract import System


def small_systems() -> tuple[str, ...]:
    """Their names."""
    return ("xpool", *_small().MODELS)


def small_system(name: str) -> System:
    """The one of that name."""
    if name == "xpool":
        return with_pixels(_small().xpool(), "float32")
    made: System = _small().model(name)
    return made


def _small() -> ModuleType:
    sys.path.append(str(Path(__file__).parents[2]))
    return importlib.import_module("tests.small_systems")
