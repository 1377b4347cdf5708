"""The Triton kernels on the GPU of this machine: poisoned outputs, and PTX as whoever launches an engine starts it."""

from __future__ import annotations

import ctypes
from typing import Any
from unittest import mock

import torch
from torch import Tensor

from framesift.kernels.topk_attention import launch
from framesift.kernels.topk_attention.portable_kernel import Compiled

from .chosen_tile import score_by, search_by, search_in_parts
from .node_launch import attend
from .pair_launch import kept_apart, pair_scores

FUNCTIONS = {"score": launch.score, "search": launch.search, "attend": attend}
FUNCTIONS |= {
    "pair_scores": pair_scores,
    "kept_apart": kept_apart,
    "score_by": score_by,
    "search_by": search_by,
    "search_in_parts": search_in_parts,
}
_FULL = torch.full


def poisoned(*size: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    return _FULL(size, -77 if dtype == torch.int32 else torch.nan, dtype=dtype, device=device)


def call(name: str, **arguments: Any) -> Any:
    """A function's result on the CPU; tensors among the arguments go to the GPU."""
    sent = {key: value.cuda() if isinstance(value, Tensor) else value for key, value in arguments.items()}
    with mock.patch.object(torch, "empty", poisoned):
        answer = FUNCTIONS[name](**sent)
    torch.cuda.synchronize()
    return tuple(part.cpu() for part in answer) if isinstance(answer, tuple) else answer.cpu()


def start_ptx(made: Compiled, grid: int, tensors: list[Tensor], sizes: list[int], outputs: list[Tensor]) -> None:
    """Start a kernel through the CUDA driver, with the parameters in the order in which an engine passes them."""
    torch.cuda.synchronize()
    driver = ctypes.CDLL("libcuda.so.1")
    module, function = ctypes.c_void_p(), ctypes.c_void_p()
    _done(driver.cuModuleLoadData(ctypes.byref(module), made.ptx.encode()))
    _done(driver.cuModuleGetFunction(ctypes.byref(function), module, made.name.encode()))
    values = [ctypes.c_uint64(x.data_ptr()) for x in tensors] + [ctypes.c_int32(n) for n in sizes]
    values += [ctypes.c_uint64(x.data_ptr()) for x in outputs]
    passed = (ctypes.c_void_p * len(values))(*(ctypes.addressof(value) for value in values))
    _done(driver.cuLaunchKernel(function, grid, 1, 1, made.threads, 1, 1, made.shared, None, passed, None))
    torch.cuda.synchronize()
    _done(driver.cuModuleUnload(module))


def _done(status: int) -> None:
    assert status == 0, f"the CUDA driver says {status}"
