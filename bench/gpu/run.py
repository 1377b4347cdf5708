"""The parts of ``framesift bench gpu``, each within a common deadline; rows are written as they come."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import click
import torch

from ...export.bundle.errors import EngineError
from ..schema.files import write
from ..schema.gpu import GpuEncoding, GpuScoring, GpuTile
from ..schema.row import Row
from . import encoding, scoring, tiles
from .gallery import gallery
from .timing import cuda, flush_for, machine

Made = TypeVar("Made", bound=Row)
_CHECKED_VIDEOS = 10_000


@dataclass
class Run:
    """A run on the device: where its rows go, and when it must end.

    Attributes:
        faults: what was found to be wrong.
    """

    results: Path
    budget_s: float

    def __post_init__(self) -> None:
        self.device = cuda()
        self.faults: list[str] = []
        self._deadline = time.monotonic() + self.budget_s
        torch.manual_seed(0)

    @property
    def over(self) -> bool:
        """Whether nothing new is to be begun."""
        return time.monotonic() > self._deadline

    def check(self, storages: Sequence[str], queries: Sequence[int]) -> None:
        """Compare the kernel with float64 in every storage and regime, on a small gallery."""
        for storage in storages:
            case = gallery(_CHECKED_VIDEOS, storage, self.device, raw=1)
            for count in queries:
                self._try(lambda case=case, count=count: scoring.check(scoring.Asked.of(case, count)))  # type: ignore[misc]
        click.echo(f"checked against float64: {len(self.faults)} faults")

    def scoring(self, storages: Sequence[str], videos: Sequence[int], queries: Sequence[int]) -> None:
        """Rows of ``gpu_scoring``."""
        flush = flush_for(self.device)
        limits = scoring.Limits.measured(flush)
        click.echo(f"copies {limits.copy / 1e12:.2f} TB/s, multiplies {limits.matrix / 1e12:.0f} TFLOP/s")

        def rows() -> Iterator[GpuScoring]:
            for size in videos:
                for storage in storages:
                    if self.over:
                        return
                    case = gallery(size, storage, self.device, raw=min(size, scoring.RAW))
                    for count in queries:
                        yield from self._rows(scoring.measure(case, count, flush, limits))

        self._write("gpu_scoring", rows(), scoring.line)

    def tiles(self, storages: Sequence[str], videos: int, queries: Sequence[int]) -> None:
        """Rows of ``gpu_tiles``."""
        flush = flush_for(self.device)

        def rows() -> Iterator[GpuTile]:
            for storage in storages:
                case = gallery(videos, storage, self.device, raw=1)
                for count in queries:
                    yield from self._rows(tiles.measure(case, count, flush))

        self._write("gpu_tiles", rows(), tiles.line)

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
        """``rows`` until the time is up, or one of them turns out wrong."""
        try:
            while not self.over and (row := next(rows, None)) is not None:
                yield row
        except EngineError as error:
            self._fault(error)

    def _try(self, check: Callable[[], object]) -> None:
        try:
            check()
        except EngineError as error:
            self._fault(error)

    def _fault(self, error: EngineError) -> None:
        self.faults.append(str(error))
        click.echo(f"WRONG: {error}")

    def _write(
        self, file: str, rows: Iterable[Made], line: Callable[[Made], str], packages: tuple[str, ...] = ()
    ) -> None:
        def shown() -> Iterator[Made]:
            for row in rows:
                click.echo(line(row))
                yield row

        path = write(file, shown(), self.results, machine(self.device, packages))
        click.echo(f"rows in {path}")
