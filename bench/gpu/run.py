"""The measurements of ``framesift bench gpu``, each within a common deadline; rows are written as they come."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import inf
from pathlib import Path
from typing import TypeVar

import click
import torch

from ...kernels.device.best import capability
from ...kernels.topk_attention.configs import Storage
from ..schema.files import write
from ..schema.gpu import GpuEncoding, GpuPairs, GpuScoring, GpuTile
from ..schema.row import Row
from . import encoding, pair_scoring, profiling, scoring, served, tiles
from .correctness import check_variant, scored
from .gallery import Case, gallery
from .pair_gallery import PairCase
from .sizes import FULL, Sizes
from .timing import flush_for, machine
from .told import Told
from .variants import Variant, taking, used, waiting

Made = TypeVar("Made", bound=Row)


@dataclass
class Run:
    """Measurements on a device: where their rows go, and when they must end.

    Attributes:
        told: what is known already, and what is found.
    """

    results: Path
    device: torch.device
    budget_s: float = inf
    sizes: Sizes = FULL
    told: Told = field(default_factory=Told)

    def __post_init__(self) -> None:
        self._deadline = time.monotonic() + self.budget_s
        self._errors: dict[Variant, float] = {}
        torch.manual_seed(time.time_ns() % 2**31)

    @cached_property
    def arch(self) -> int:
        """The device's compute capability."""
        from .dry import ARCH

        return capability(self.device) if self.device.type == "cuda" else ARCH

    @cached_property
    def flush(self) -> torch.Tensor:
        """What empties the caches."""
        return flush_for(self.device)

    @property
    def limits(self) -> scoring.Limits:
        """The ceilings, measured when they are first asked for."""
        if self.told.limits is None:
            self.told.limits = scoring.Limits.measured(self.flush)
            click.echo(str(self.told.limits))
        return self.told.limits

    @property
    def over(self) -> bool:
        """Whether nothing new is to be begun."""
        return time.monotonic() > self._deadline

    def failed(self, fault: str) -> None:
        """Tell of something wrong, and remember it."""
        click.echo(f"FAILED: {fault}")
        self.told.faults.append(fault)

    def check(self, storages: Sequence[Storage], queries: Sequence[int]) -> None:
        """Compare the kernels that are used with float64, in every storage and regime."""
        for storage in storages:
            for count in queries:
                if not self.over:
                    self._error(used(self.arch, storage, count))

    def tiles(self, storages: Sequence[Storage], videos: int, queries: Sequence[int]) -> None:
        """Rows of ``gpu_tiles``: of what is used and of what waits. Prints the lines that take what was faster."""
        found = []
        for storage in storages:
            for count in queries:
                for variant in (used(self.arch, storage, count), *waiting(self.arch, storage, count)):
                    if not self.over:
                        found.append((variant, self.tile(variant, videos)))
        for line in choose(found, self.told):
            click.echo(line)

    def tile(self, variant: Variant, videos: int) -> GpuTile:
        """The row of a variant, once it is written."""
        failure = self.told.failed.get(str(variant), "")
        case = gallery(videos, variant.storage, self.device, raw=1)
        row = tiles.measure(case, variant, self.flush, self.limits, self.sizes, failure)
        self._write("gpu_tiles", [row], tiles.line)
        return row

    def scoring(
        self, storages: Sequence[Storage], videos: Sequence[int], queries: Sequence[int], cases: Sequence[str]
    ) -> None:
        """Rows of ``gpu_scoring``, of what is used or was chosen; a variant that is wrong is not timed.

        Args:
            cases: some of ``scoring.CASES``.
        """

        def rows() -> Iterator[GpuScoring]:
            for size in videos:
                for storage in storages:
                    if self.over:
                        return
                    case = gallery(size, storage, self.device, raw=min(size, self.sizes.raw))
                    for count in queries:
                        variant = self.told.chosen.get((storage, count)) or used(self.arch, storage, count)
                        # The baselines read frames as they are, whatever the kernel's storage.
                        asked_for = cases if storage == "float16" else [each for each in cases if each == "kernel"]
                        if not self.over and asked_for:
                            yield from self._rows(self._scores(case, variant, asked_for))

        self._write("gpu_scoring", rows(), scoring.line)

    def served(self, videos: int, certified: int, queries: Sequence[int]) -> None:
        """Rows of ``gpu_served``."""
        self._write(
            "gpu_served",
            self._rows(served.measure(videos, certified, queries, self.device, self.limits)),
            served.line,
        )

    def pairs(
        self, scorers: Sequence[str], videos: Sequence[int], queries: Sequence[int], cases: Sequence[str]
    ) -> None:
        """Rows of ``gpu_pairs``; a scorer that is wrong has one that says so. Candidates come with the kernels."""

        def rows() -> Iterator[GpuPairs]:
            for scorer in scorers:
                if self.over:
                    return
                try:
                    if scorer not in self.told.errors:
                        self.told.errors[scorer] = pair_scoring.check_scorer(
                            scorer, self.device, self.sizes.pairs_checked, self.sizes.pair_counts
                        )
                    for size in videos:
                        case = PairCase.drawn(scorer, size, self.device)
                        for count in queries:
                            yield from self._rows(self._pairs(case, count, cases))
                # One scorer's failure must not end the run of the others.
                except Exception as wrong:
                    failure = f"{type(wrong).__name__}: {wrong}"[:400]
                    self.failed(f"{scorer}: {failure}")
                    yield GpuPairs(scorer=scorer, case=scoring.SCORES, queries=0, videos=0, failure=failure)

        self._write("gpu_pairs", rows(), pair_scoring.line)

    def profile(self) -> None:
        """Rows of ``gpu_profile``."""
        seconds = min(profiling.LONGEST_S, self._deadline - time.monotonic())
        self._write("gpu_profile", self._rows(profiling.profile(seconds)), profiling.line)

    def encoding(
        self,
        models: Sequence[str],
        precisions: Sequence[str],
        work: Path,
        batches: Mapping[str, Sequence[int]] = encoding.BATCHES,
    ) -> None:
        """Rows of ``gpu_encoding``. Prints the line of the served configuration that the first model's ask for."""
        found: list[GpuEncoding] = []

        def rows() -> Iterator[GpuEncoding]:
            for model in models:
                for precision in precisions:
                    for row in self._rows(encoding.measure(model, precision, work, self.device, batches)):
                        found.append(row)
                        yield row

        self._write("gpu_encoding", rows(), encoding.line, encoding.PACKAGES)
        for told in encoding.advice([row for row in found if row.model == models[0]]):
            click.echo(told)

    def _scores(self, case: Case, variant: Variant, cases: Sequence[str]) -> Iterator[GpuScoring]:
        """Rows of a variant that is right, on few videos and on these."""
        try:
            error = self._errors.get(variant)
            if "kernel" in cases and error is None and (error := self._error(variant)) is None:
                return
            with taking(variant):
                asked = scoring.Asked.of(case, variant.queries)
                if "kernel" in cases:
                    error = max(error or 0.0, scored(asked)[1])
                yield from scoring.measure(asked, variant, self.flush, self.limits, error or 0.0, cases, self.failed)
        # One variant's failure must not end the run of the others.
        except Exception as wrong:
            self.failed(f"{variant}: {type(wrong).__name__}: {wrong}"[:400])

    def _pairs(self, case: PairCase, count: int, cases: Sequence[str]) -> Iterator[GpuPairs]:
        error = self.told.errors[case.scorer]
        yield from pair_scoring.measure(case, count, self.flush, self.limits, error, cases, self.failed)
        for tile in pair_scoring.waiting_tiles(case.scorer, count, self.arch) if "kernel" in cases else ():
            yield pair_scoring.measure_candidate(case, count, tile, self.flush, self.limits, self.sizes)

    def _error(self, variant: Variant) -> float | None:
        """The largest error of a variant; None where it is wrong or can't be run, which is told."""
        try:
            self._errors[variant] = check_variant(variant, self.device, self.sizes)
            return self._errors[variant]
        # One variant's failure must not end the run of the others.
        except Exception as wrong:
            self.failed(f"{variant}: {type(wrong).__name__}: {wrong}"[:400])
            return None

    def _rows(self, rows: Iterator[Made]) -> Iterator[Made]:
        """``rows`` until the time is up."""
        while not self.over and (row := next(rows, None)) is not None:
            yield row

    def _write(
        self, file: str, rows: Iterable[Made], line: Callable[[Made], str], packages: tuple[str, ...] = ()
    ) -> None:
        def shown() -> Iterator[Made]:
            for row in rows:
                click.echo(line(row))
                yield row

        write(file, shown(), self.results, machine(self.device, packages))


def choose(rows: Sequence[tuple[Variant, GpuTile]], told: Told) -> list[str]:
    """Put what was faster than what is used among ``told.chosen``; the lines of the table of tiles that take it.

    Args:
        rows: with what is used before what waits, of every storage and number of queries.
    """
    lines = []
    for key in dict.fromkeys((variant.storage, variant.queries) for variant, _ in rows):
        timed = [(variant, row) for variant, row in rows if (variant.storage, variant.queries) == key]
        if timed[0][1].p50_ms is None:
            continue
        best = tiles.fastest([row for _, row in timed])
        for variant, row in timed[1:]:
            if row is best:
                told.chosen[key] = variant
                lines.append(f"faster than what is used, for configs.OWN:\n{variant.line()}")
    return lines
