"""A run without a device: the same Python in small, its kernels interpreted, so that no mistake waits for a GPU."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from unittest import mock

import torch

# What a dry run stands for: an architecture that has candidates.
ARCH = 90


def interpret() -> None:
    """Have this process and those that it starts interpret kernels; to be called before triton is imported."""
    os.environ["TRITON_INTERPRET"] = "1"
    # Tensors are tiny, and the interpreter is numpy's.
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def processor() -> torch.device:
    """What a dry run has in the place of a device."""
    return torch.device("cpu")


@contextmanager
def surroundings(device: torch.device) -> Iterator[None]:
    """While it is open launchers take the tiles of ``ARCH`` where there is no GPU."""
    from ...kernels.device import pair_scan
    from ...kernels.topk_attention import launch
    from . import pair_scoring

    with ExitStack() as stack:
        for module in (launch, pair_scan, pair_scoring) if device.type != "cuda" else ():
            stack.enter_context(mock.patch.object(module, "capability", return_value=ARCH))
        yield
