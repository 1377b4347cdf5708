"""The parts of ``framesift bench gpu all`` that measure; ``whole`` has each run in a process of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from ...kernels.topk_attention.configs import Storage
from ..schema.gpu import GpuTile
from .commands import SCORERS
from .dry import surroundings
from .run import Run
from .sizes import Sizes
from .told import Told
from .variants import Variant

TIMED: tuple[Storage, ...] = ("float16", "int8")


@dataclass(frozen=True)
class Given:
    """What every part is given.

    Attributes:
        work: keeps what is exported.
        kind: "cuda", or "cpu" for a dry run.
    """

    results: Path
    work: Path
    sizes: Sizes
    kind: str


@dataclass(frozen=True)
class Measured:
    """A part that measures.

    Attributes:
        seconds: that it is expected to take.
        most: after which it is killed.
        wanted: whether there is anything to measure.
    """

    name: str
    seconds: float
    most: float
    run: Callable[[Run, Path], None]
    wanted: Callable[[Told], bool] = lambda _: True


def _ceilings(run: Run, _: Path) -> None:
    assert run.limits


def _chosen(run: Run, _: Path) -> None:
    for storage, count in list(run.told.chosen):
        run.scoring((storage,), (run.sizes.videos,), (count,), ("kernel",))


def _encoders(run: Run, work: Path) -> None:
    run.encoding((run.sizes.model,), (run.sizes.precision,), work, run.sizes.batches)


def _scoring(
    storages: Sequence[Storage], videos: Callable[[Sizes], tuple[int, ...]], *cases: str
) -> Callable[[Run, Path], None]:
    return lambda run, _: run.scoring(storages, videos(run.sizes), run.sizes.queries, cases)


MEASURED = (
    Measured("ceilings", 12, 40, _ceilings),
    Measured("a million videos", 65, 130, _scoring(TIMED, lambda sizes: (sizes.videos,), "kernel", "eager")),
    Measured(
        "served search",
        45,
        90,
        lambda run, _: run.served(run.sizes.served, run.sizes.certified, run.sizes.together),
    ),
    Measured("encoders", 55, 110, _encoders),
    Measured("max-autotune", 65, 140, _scoring(("float16",), lambda sizes: (sizes.videos,), "compiled")),
    Measured("faster candidates, a million videos", 15, 40, _chosen, lambda told: bool(told.chosen)),
    Measured(
        "other scorers",
        45,
        100,
        lambda run, _: run.pairs(SCORERS, (run.sizes.pairs,), run.sizes.texts, ("kernel", "eager")),
    ),
    Measured("fewer videos", 15, 40, _scoring(("float16",), lambda sizes: sizes.fewer, "kernel")),
    Measured("Nsight Compute", 20, 60, lambda run, _: run.profile()),
    Measured("other storages", 10, 40, lambda run, _: run.check(run.sizes.others, run.sizes.queries[::2])),
    Measured(
        "max-autotune, other scorers",
        33,
        80,
        lambda run, _: run.pairs(SCORERS, (run.sizes.pairs_compiled,), run.sizes.texts[:2][-1:], ("compiled",)),
    ),
)


def measured(name: str, given: Given, told: Told, seconds: float) -> Told:
    """Measure a part; what is known then."""
    device = torch.device(given.kind)
    (part,) = [one for one in MEASURED if one.name == name]
    with surroundings(device):
        run = Run(given.results, device, seconds, given.sizes, told)
        part.run(run, given.work)
    return run.told


def measured_tile(variant: Variant, given: Given, told: Told) -> GpuTile:
    """Measure a variant."""
    device = torch.device(given.kind)
    with surroundings(device):
        return Run(given.results, device, sizes=given.sizes, told=told).tile(variant, given.sizes.tiles)
