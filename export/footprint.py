"""What a system's graphs weigh, hold and compute, found by running them on tensors that have sizes and no memory."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from .graphs import FILM, graphs, ports
from .systems.contract import System

# Texts that are run at once; of clips one is, and of pairs as many as are compared.
TEXTS = 5


@dataclass(frozen=True)
class Footprint:
    """One graph in float32.

    Attributes:
        weights: numbers of those that it reads.
        held: bytes of the most results that are needed at once, turned views too, without the logits of attention.
        logits: bytes of the most logits of one attention, which a graph writes out and torch does not.
        operations: of its products, two for a multiplication and its addition.
        steps: operators that torch calls.
    """

    weights: int
    held: int
    logits: int
    operations: int
    steps: int


def footprints(system: System) -> Mapping[str, Footprint]:
    """Of every graph, by name: of one clip, of ``TEXTS`` texts, and of the pairs of ``ScorerCard.compared``."""
    queries, videos = system.scorer.compared
    found = {}
    with torch.no_grad(), torch.device("meta"):
        weightless = _weightless(system)
        promised = ports(weightless)
        for (name, module), clips in zip(graphs(weightless).items(), (1, TEXTS, 1), strict=True):
            rows = {"batch": clips, "length": system.max_tokens, "queries": queries, "videos": videos, **FILM}
            shapes = [tuple(rows[d] if isinstance(d, str) else d for d in port.dims) for port in promised[name].inputs]
            dtypes = [getattr(torch, port.dtype) for port in promised[name].inputs]
            inputs = [torch.empty(shape, dtype=dtype) for shape, dtype in zip(shapes, dtypes, strict=True)]
            found[name] = footprint(module, inputs)
    return found


def _weightless(system: System) -> System:
    """The system with weights that have no memory."""
    stand_ins: dict[int, Any] = {}
    for tensor in (*system.parameters(), *system.buffers()):
        empty = torch.empty_like(tensor, device="meta")
        stand_ins[id(tensor)] = nn.Parameter(empty, requires_grad=False) if isinstance(tensor, nn.Parameter) else empty
    return deepcopy(system, stand_ins)


def footprint(module: nn.Module, inputs: Sequence[Tensor]) -> Footprint:
    """Of a module without memory, called once."""
    weights = {_key(tensor): tensor.numel() for tensor in (*module.parameters(), *module.buffers())}
    live, attention, products = _Live(weights), _Attention(), FlopCounterMode(display=False)
    with attention, products, live:
        module(*inputs)
    return Footprint(
        sum(weights[key] for key in live.read),
        live.most,
        attention.logits,
        products.get_total_flops() + attention.operations,
        live.steps,
    )


def _key(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


class _Attention(TorchFunctionMode):
    """Puts a result of its shape in the place of every attention, which torch would take apart without memory."""

    def __init__(self) -> None:
        super().__init__()
        self.logits = self.operations = 0

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func is not F.scaled_dot_product_attention:
            return func(*args, **(kwargs or {}))
        query, key, value = args[:3]
        pairs = query.shape[:-1].numel() * key.shape[-2]
        self.logits = max(self.logits, pairs * query.element_size())
        self.operations += 2 * pairs * (query.shape[-1] + value.shape[-1])
        return query.new_empty((*query.shape[:-1], value.shape[-1]))


class _Live(TorchDispatchMode):
    """Counts the bytes of results that are alive, and which weights are read."""

    def __init__(self, weights: Mapping[int, int]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._weights, self._alive = weights, dict[int, int]()
        self._now = self.most = self.steps = 0
        self.read: set[int] = set()

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        self.steps += 1
        self.read |= {_key(tensor) for tensor in _tensors(args)} & self._weights.keys()
        result = func(*args, **(kwargs or {}))
        for tensor in _tensors((result,)):
            if _key(tensor) not in self._alive and _key(tensor) not in self._weights:
                storage = tensor.untyped_storage()
                self._holds(storage, _key(tensor), storage.nbytes())
            elif not tensor.is_contiguous() and _key(tensor) in self._alive:
                # A view, which in a graph is a copy.
                self._holds(tensor, id(tensor), tensor.numel() * tensor.element_size())
        return result

    def _holds(self, owner: Any, key: int, nbytes: int) -> None:
        self._alive[key] = nbytes
        self._now += nbytes
        self.most = max(self.most, self._now)
        weakref.finalize(owner, self._gone, key)

    def _gone(self, key: int) -> None:
        self._now -= self._alive.pop(key, 0)


def _tensors(values: Iterable[Any]) -> Iterable[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from _tensors(value)
