"""``framesift bench gpu all``: its parts in their order, each in a process of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import torch

from ...export.bundle.errors import EngineError
from ...kernels.device.best import capability
from ...kernels.topk_attention.ahead import names as served_kernels
from ..schema.files import write
from ..schema.gpu import GpuTile
from . import tiles
from .apart import apart
from .commands import SCORERS
from .dry import ARCH, processor
from .figures import figures
from .pair_scoring import waiting_tiles
from .parts import MEASURED, TIMED, Given, Measured, measured, measured_tile
from .preparing import CompiledEncoder, Graphs, PairKernels, ScorerKernels, ServedKernel, Started, start
from .run import choose
from .schedule import Part, run_parts
from .sizes import DRY, FULL, Sizes
from .timing import cuda, machine
from .told import Told
from .variants import Variant, used, waiting

# A candidate was never run: one that hangs must not take the time of the others.
_COMPILED_S, _CANDIDATE_S = 90.0, 25.0
# Seconds before a part is killed in which it begins nothing more.
_ENDING_S = 4.0
# Parts before the candidates: their figures are asked for.
_FIRST = 5


def run_whole(budget_s: float, processes: int, work: Path, results: Path) -> list[str]:
    """Run all parts on this machine's GPU, and print the figures; what failed.

    Raises:
        EngineError: there is no GPU.
    """
    device = cuda()
    return _run(Given(results, work, FULL, device.type), capability(device), processes, budget_s)


def dry_run(processes: int) -> list[str]:
    """Run all parts without a GPU, and keep nothing; what failed."""
    with TemporaryDirectory() as folder:
        given = Given(Path(folder) / "results", Path(folder), DRY, processor().type)
        return _run(given, ARCH, processes, inf)


def plan_of() -> list[Part]:
    """The parts of a whole run, to be shown."""
    return Whole(Given(Path(), Path(), FULL, "cuda"), ARCH, 1).parts()


def _run(given: Given, arch: int, processes: int, budget_s: float) -> list[str]:
    whole = Whole(given, arch, processes)
    left_out = run_parts(whole.parts(), budget_s, click.echo)
    for line in figures(given.results, given.sizes):
        click.echo(line)
    if left_out:
        click.echo(f"not measured: {', '.join(left_out)}")
    return whole.told.faults


@dataclass
class Whole:
    """A whole run on a device of compute capability ``arch``.

    Attributes:
        processes: at a time, of those that compile.
    """

    given: Given
    arch: int
    processes: int
    told: Told = field(default_factory=Told)

    @property
    def sizes(self) -> Sizes:
        """How much is measured."""
        return self.given.sizes

    def parts(self) -> list[Part]:
        """What is compiled, then what matters most first, then what is nice to have."""
        return [
            Part("compile and export", 80, lambda left: self._prepare(min(self._patient(130), left / 3))),
            *(Part(one.name, one.seconds, self._starter(one)) for one in MEASURED[:_FIRST]),
            Part("kernels and candidates", 80, lambda left: self._tiles(min(self._patient(130), left))),
            *(Part(one.name, one.seconds, self._starter(one)) for one in MEASURED[_FIRST:]),
        ]

    def _patient(self, seconds: float) -> float:
        return self.sizes.patience * seconds

    def _starter(self, one: Measured) -> Callable[[float], None]:
        def begin(left: float) -> None:
            if one.wanted(self.told):
                self._alone(one.name, min(self._patient(one.most), left))

        return begin

    def _alone(self, name: str, seconds: float) -> None:
        for _, outcome in apart(measured, [(name, self.given, self.told, seconds - _ENDING_S)], seconds):
            if outcome.value is None:
                self.told.faults.append(f"{name}: {outcome.failure}")
                raise EngineError(outcome.failure)
            self.told = outcome.value

    def _variants(self) -> list[Variant]:
        """What is used before what waits, of every storage and number of queries."""
        return [
            variant
            for storage in TIMED
            for count in self.sizes.queries
            for variant in (used(self.arch, storage, count), *waiting(self.arch, storage, count))
        ]

    def started(self) -> list[Started]:
        """What is compiled and exported beforehand: what takes longest, and what matters most, first."""
        sizes = self.sizes
        first: list[Started] = [Graphs(sizes.model, sizes.precision, self.given.work, tuple(sizes.batches))]
        for graph, batches in sizes.batches.items():
            first += [CompiledEncoder(sizes.model, graph, sizes.precision, batch) for batch in batches]
        variants = self._variants()
        plain = [variant for variant in variants if variant == used(self.arch, variant.storage, variant.queries)]
        first += [ScorerKernels(variant) for variant in plain]
        first += [ServedKernel(name, self.arch) for name in served_kernels(int8=True)]
        pairs = [PairKernels(scorer, count) for scorer in SCORERS for count in sizes.texts]
        candidates = [ScorerKernels(variant) for variant in variants if variant not in plain]
        others = [
            PairKernels(scorer, count, tile)
            for scorer in SCORERS
            for count in sizes.texts
            for tile in waiting_tiles(scorer, count, self.arch)
        ]
        return [*first, *pairs, *candidates, *others]

    def _prepare(self, seconds: float) -> None:
        jobs = [(one, self.given.kind) for one in self.started()]
        each = self._patient(_COMPILED_S)
        for (one, _), outcome in apart(start, jobs, seconds, together=self.processes, each=each):
            click.echo(f"{one}  {outcome.failure or 'ready'}")
            # What was merely late is tried again where it is measured.
            if outcome.failure and not outcome.late:
                self.told.failed[str(one)] = outcome.failure

    def _tiles(self, seconds: float) -> None:
        """Every variant in a process of its own."""
        found: list[tuple[Variant, GpuTile]] = []
        for (variant, *_), outcome in apart(
            measured_tile,
            [(variant, self.given, self.told) for variant in self._variants()],
            seconds,
            each=self._patient(_CANDIDATE_S),
        ):
            row = outcome.value
            if row is None:
                row = tiles.unmeasured(variant, self.sizes.tiles, outcome.failure)
                write("gpu_tiles", [row], self.given.results, machine(torch.device(self.given.kind), ()))
                click.echo(tiles.line(row))
            found.append((variant, row))
        for line in choose(found, self.told):
            click.echo(line)
