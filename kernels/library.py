"""The compiled scans, ``csrc`` here and in scorers' folders, where a compiler built them and the processor has AVX2.

The libraries need no Python headers. ctypes calls them and lets other threads run meanwhile.
"""

from __future__ import annotations

import ctypes
import functools
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import numpy as np

# Best first.
LIBRARIES = ("avx512", "avx2")
# What records are read in; csrc/storage.h says the same.
STORAGES = {np.dtype(np.float32): 0, np.dtype(np.float16): 1, np.dtype(np.int8): 2}
# What to do where there is none.
NOT_COMPILED = (
    "searches are slower: no compiled scorer is installed that this processor runs; with a C compiler (apt install "
    "gcc) and AVX2, install framesift again"
)

Library = ctypes.CDLL


@functools.cache
def library(name: str) -> Library | None:
    """The library for one instruction set, or None where it was not built or this processor can't run it."""
    stem = Path(__file__).with_name(f"_scan_{name}")
    built = [path for suffix in EXTENSION_SUFFIXES if (path := stem.with_name(stem.name + suffix)).is_file()]
    if not built:
        return None
    try:
        found = ctypes.CDLL(str(built[0]))
    except OSError:
        return None
    found.framesift_read.restype = ctypes.c_float
    found.framesift_read.argtypes = [ctypes.c_void_p, ctypes.c_int64]
    return found if found.framesift_supported() else None


def best_library() -> Library | None:
    """The library that this machine runs; None where there is none."""
    return next((found for name in LIBRARIES if (found := library(name)) is not None), None)


def compiled() -> str | None:
    """The instruction set of the compiled scans that this machine runs; None where there are none."""
    return next((name for name in LIBRARIES if library(name) is not None), None)
