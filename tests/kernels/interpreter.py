"""Runs the Triton kernels' launchers under `triton`'s interpreter, in a process of its own, and watches their memory.

The interpreter is chosen when triton is imported and other tests may have imported it already. It reads and writes raw
addresses: here every active lane must lie in a tensor of the launch, and no launch may store an address twice. New
tensors are poisoned, so that an element which isn't written is seen. Requests and answers pass the standard streams as
pickled bytes of ``torch.save``: (function, arguments) -> ("ok", result) or ("error", text).
"""

from __future__ import annotations

import io
import os
import pickle
import sys
from unittest import mock

os.environ["TRITON_INTERPRET"] = "1"

import numpy as np
import torch
import triton.language as tl
from chosen_tile import score_by, search_by, search_in_parts
from device_calls import bounded, searched
from node_launch import attend
from pair_launch import kept_apart, pair_scores
from triton.runtime import interpreter as interp
from triton.tools.tensor_descriptor import TensorDescriptor

from framesift.kernels.topk_attention import launch

FUNCTIONS = {"score": launch.score, "search": launch.search, "attend": attend}
FUNCTIONS |= {
    "bounded": bounded,
    "pair_scores": pair_scores,
    "kept_apart": kept_apart,
    "score_by": score_by,
    "search_by": search_by,
    "search_in_parts": search_in_parts,
    "searched": searched,
}
spans: list[tuple[int, int]] = []
stored: set[int] = set()


class MemoryFault(Exception):
    """An access outside of the launch's tensors, or a second store to an address."""


def check(pointers: interp.TensorHandle, mask: interp.TensorHandle, what: str) -> np.ndarray:
    """Addresses [n] of the active lanes."""
    active = np.broadcast_to(mask.data.astype(bool), pointers.data.shape)
    at = pointers.data[active].astype(np.uint64)
    size = interp._get_np_dtype(pointers.get_element_ty()).itemsize
    inside = np.zeros(at.shape, bool)
    for start, end in spans:
        inside |= (at >= start) & (at + np.uint64(size) <= end)
    if not inside.all():
        raise MemoryFault(f"{what}: {int((~inside).sum())} of {at.size} lanes out of bounds")
    return at


class Watched:
    """The interpreter's own operations, with the checks in front."""

    load = interp.InterpreterBuilder.create_masked_load
    store = interp.InterpreterBuilder.create_masked_store
    atomic = interp.InterpreterBuilder.create_atomic_rmw
    dot = interp.InterpreterBuilder.create_dot
    start = interp.GridExecutor._init_args_hst


def load(self, pointers, mask, *rest, **named):  # type: ignore[no-untyped-def]
    check(pointers, mask, "load")
    return Watched.load(self, pointers, mask, *rest, **named)


def store(self, pointers, value, mask, *rest, **named):  # type: ignore[no-untyped-def]
    at = check(pointers, mask, "store").tolist()
    if len(set(at)) != len(at) or stored.intersection(at):
        raise MemoryFault("store: an address is written twice")
    stored.update(at)
    return Watched.store(self, pointers, value, mask, *rest, **named)


def atomic(self, kind, pointers, value, mask, *rest, **named):  # type: ignore[no-untyped-def]
    check(pointers, mask, "atomic operation")
    return Watched.atomic(self, kind, pointers, value, mask, *rest, **named)


def start(self, *args):  # type: ignore[no-untyped-def]
    result = Watched.start(self, *args)
    spans.clear()
    stored.clear()
    for x in (*result[0], *result[1].values()):
        x = x.base if isinstance(x, TensorDescriptor) else x
        if isinstance(x, torch.Tensor):
            spans.append((x.data_ptr(), x.data_ptr() + x.numel() * x.element_size()))
    return result


def dot(self, a, b, d, *rest):  # type: ignore[no-untyped-def]
    # the interpreter multiplies the bit patterns of bfloat16
    if a.dtype.scalar == tl.bfloat16:
        a, b = (interp.TensorHandle((x.data.astype(np.uint32) << 16).view(np.float32), tl.float32) for x in (a, b))
    return Watched.dot(self, a, b, d, *rest)


def poisoned(*size: int, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    return torch.full(size, -77 if dtype == torch.int32 else torch.nan, dtype=dtype, device=device)


def main() -> None:
    interp.InterpreterBuilder.create_masked_load = load
    interp.InterpreterBuilder.create_masked_store = store
    interp.InterpreterBuilder.create_atomic_rmw = atomic
    interp.InterpreterBuilder.create_dot = dot
    interp.GridExecutor._init_args_hst = start
    torch.set_num_threads(1)
    while True:
        try:
            name, arguments = torch.load(io.BytesIO(pickle.load(sys.stdin.buffer)), weights_only=True)
        except EOFError:
            return
        try:
            with mock.patch.object(torch, "empty", poisoned):
                answer = ("ok", FUNCTIONS[name](**arguments))
        except Exception as e:
            answer = ("error", repr(e))
        buffer = io.BytesIO()
        torch.save(answer, buffer)
        pickle.dump(buffer.getvalue(), sys.stdout.buffer)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
