"""The parts of ``framesift bench gpu``, each within a common deadline; rows are written as they come."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import click
import torch

from ...export.bundle.errors import EngineError
from ...kernels.topk_attention.configs import Storage
from ..schema.files import write
from ..schema.gpu import GpuEncoding, GpuScoring, GpuTile
from ..schema.row import Row
from . import encoding, scoring, tiles
from .compiling import compiled
from .correctness import check_variant
from .gallery import gallery
from .timing import cuda, flush_for, machine
from .variants import Variant, taking, used, waiting

Made = TypeVar("Made", bound=Row)


@dataclass
class Run:
    """A run on the device: where its rows go, and when it must end.

    Attributes:
        faults: what was found to be wrong.
        chosen: the variants that are used, or were faster: by storage and number of queries.
    """

    results: Path
    budget_s: float

    def __post_init__(self) -> None:
        self.device = cuda()
        major, minor = torch.cuda.get_device_capability(self.device)
        self.arch = 10 * major + minor
        self.faults: list[str] = []
        self.chosen: dict[tuple[Storage, int], Variant] = {}
        self._failed: dict[Variant, str] = {}
        self._deadline = time.monotonic() + self.budget_s
        torch.manual_seed(time.time_ns() % 2**31)

    @cached_property
    def flush(self) -> torch.Tensor:
        """What empties the caches."""
        return flush_for(self.device)

    @cached_property
    def limits(self) -> scoring.Limits:
        """The ceilings, measured when they are first asked for."""
        found = scoring.Limits.measured(self.flush)
        click.echo(
            f"copies {found.copy / 1e12:.2f} TB/s, reads {found.read / 1e12:.2f} TB/s, float16 "
            f"{found.matrix / 1e12:.0f} and int8 {found.int8 / 1e12:.0f} T operations/s"
        )
        return found

    @property
    def over(self) -> bool:
        """Whether nothing new is to be begun."""
        return time.monotonic() > self._deadline

    def variants(self, storages: Sequence[Storage], queries: Sequence[int]) -> list[Variant]:
        """What is used and what waits to be measured."""
        found = []
        for storage in storages:
            for count in queries:
                found += [used(self.arch, storage, count), *waiting(self.arch, storage, count)]
        return found

    def compile(self, variants: Sequence[Variant], processes: int, seconds: float) -> None:
        """Have every variant compiled and run once, in other processes."""
        for variant, failure in compiled(variants, processes, seconds):
            click.echo(f"{variant}  {failure or 'compiled'}")
            if failure:
                self._failed[variant] = failure

    def check(self, storages: Sequence[Storage], queries: Sequence[int]) -> None:
        """Compare the kernels that are used with float64, in every storage and regime."""
        for storage in storages:
            for count in queries:
                if not self.over:
                    self._try(used(self.arch, storage, count))
        click.echo(f"checked against float64: {len(self.faults)} faults")

    def tiles(self, storages: Sequence[Storage], videos: int, queries: Sequence[int]) -> None:
        """Rows of ``gpu_tiles``: of what is used and of what waits. Prints the lines that take what was faster."""
        found: dict[tuple[Storage, int], list[tuple[Variant, GpuTile]]] = {}

        def rows() -> Iterator[GpuTile]:
            for storage in storages:
                case = gallery(videos, storage, self.device, raw=1)
                for variant in self.variants((storage,), queries):
                    if self.over:
                        return
                    row = tiles.measure(case, variant, self.flush, self.limits, self._failed.get(variant, ""))
                    found.setdefault((storage, variant.queries), []).append((variant, row))
                    yield row

        self._write("gpu_tiles", rows(), tiles.line)
        for key, timed in found.items():
            best = tiles.fastest([row for _, row in timed])
            for variant, row in timed:
                if row is best:
                    self.chosen[key] = variant
                    if variant != timed[0][0]:
                        click.echo(f"faster than what is used, for configs.OWN:\n{variant.line()}")

    def scoring(
        self,
        storages: Sequence[Storage],
        videos: Sequence[int],
        queries: Sequence[int],
        baselines: tuple[str, ...] = ("eager", "compiled"),
    ) -> None:
        """Rows of ``gpu_scoring``, of the chosen variants; one that is wrong is not timed."""
        errors: dict[Variant, float] = {}

        def rows() -> Iterator[GpuScoring]:
            for size in videos:
                for storage in storages:
                    if self.over:
                        return
                    case = gallery(size, storage, self.device, raw=min(size, scoring.RAW))
                    for count in queries:
                        variant = self.chosen.get((storage, count)) or used(self.arch, storage, count)
                        if variant not in errors and (error := self._try(variant)) is not None:
                            errors[variant] = error
                        if variant not in errors:
                            continue
                        # The baselines read frames as they are, whatever the kernel's storage.
                        beside = baselines if storage == "float16" else ()
                        with taking(variant):
                            yield from self._rows(
                                scoring.measure(case, variant, self.flush, self.limits, errors[variant], beside)
                            )

        self._write("gpu_scoring", rows(), scoring.line)

    def encoding(self, models: Sequence[str], precisions: Sequence[str], work: Path) -> None:
        """Rows of ``gpu_encoding``."""

        def rows() -> Iterator[GpuEncoding]:
            for model in models:
                for precision in precisions:
                    yield from self._rows(encoding.measure(model, precision, work, self.device))

        self._write("gpu_encoding", rows(), encoding.line, encoding.PACKAGES)

    def finish(self) -> None:
        """Say whether the time was enough.

        Raises:
            EngineError: something was wrong.
        """
        if self.over:
            click.echo("the time is up: what is missing was not measured")
        if self.faults:
            raise EngineError("\n".join(["not timed, because it is wrong:", *self.faults]))

    def _rows(self, rows: Iterator[Made]) -> Iterator[Made]:
        """``rows`` until the time is up."""
        while not self.over and (row := next(rows, None)) is not None:
            yield row

    def _try(self, variant: Variant) -> float | None:
        try:
            return check_variant(variant, self.device)
        except EngineError as error:
            self.faults.append(f"{variant}: {error}")
            click.echo(f"WRONG: {self.faults[-1]}")
            return None

    def _write(
        self, file: str, rows: Iterable[Made], line: Callable[[Made], str], packages: tuple[str, ...] = ()
    ) -> None:
        def shown() -> Iterator[Made]:
            for row in rows:
                click.echo(line(row))
                yield row

        path = write(file, shown(), self.results, machine(self.device, packages))
        click.echo(f"rows in {path}")
