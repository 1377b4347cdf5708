"""Ways to do one job, timed one after another."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

import torch
from torch import Tensor

from ..schema.gpu import Built
from .timing import milliseconds, replayed


@dataclass(frozen=True)
class Way:
    """A call, with what its compiled code takes where it is a kernel's.

    Attributes:
        scale: how many times the call's time the whole job takes.
    """

    name: str
    call: Callable[[], Any]
    scale: float = 1.0
    built: Built | None = None


class Times(TypedDict):
    """What a row tells of a way."""

    case: str
    p20_ms: float
    p50_ms: float
    p80_ms: float
    graph_ms: float | None
    scaled_by: float
    built: Built | None


def timed(
    ways: Sequence[Way], flush: Tensor, failed: Callable[[str], None], budgets_ms: tuple[float, float] = (1000, 500)
) -> Iterator[Times]:
    """The times of each way that can be run, with cold caches.

    Args:
        failed: is told why one can't be run, which ends no other.
        budgets_ms: of the calls, and of the same calls replayed as a CUDA graph.
    """
    for way in ways:
        try:
            with torch.no_grad():
                p20, p50, p80 = (way.scale * time for time in milliseconds(way.call, flush, budgets_ms[0]))
                # torch.compile has graphs of its own.
                graph = way.scale * replayed(way.call, flush, budgets_ms[1]) if way.built else None
        # Drivers and compilers fail in many ways.
        except Exception as wrong:
            failed(f"{way.name}: {type(wrong).__name__}: {wrong}"[:400])
            continue
        yield Times(
            case=way.name, p20_ms=p20, p50_ms=p50, p80_ms=p80, graph_ms=graph, scaled_by=way.scale, built=way.built
        )
