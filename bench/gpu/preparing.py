"""What is compiled and exported before anything is timed, by several processes: kernels, graphs, and compiled torch.

What can't start is named, and not measured. All that is made here stays in caches on disk, where later processes look.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from ...kernels.device.tile import Tile
from .dry import surroundings
from .floor import SHAPE
from .timing import settle
from .variants import Variant, taking

# Two tiles of most kernels, and a video that fills none.
_VIDEOS = 17


@dataclass(frozen=True)
class ScorerKernels:
    """The kernels of ``topk_attention`` by a variant."""

    variant: Variant

    def __str__(self) -> str:
        return str(self.variant)

    def start(self, device: torch.device) -> None:
        """Compile and run it on few videos."""
        from .gallery import gallery
        from .scoring import Asked

        asked = Asked.of(gallery(_VIDEOS, self.variant.storage, device, raw=1), self.variant.queries)
        with taking(self.variant):
            asked.scores()
            asked.search()


@dataclass(frozen=True)
class PairKernels:
    """The kernels of a scorer of plain vectors that so many texts take."""

    scorer: str
    queries: int
    tile: Tile | None = None
    """None: that of the table."""

    def __str__(self) -> str:
        return f"{self.scorer:14}{self.queries:5}  {self.tile.kernel if self.tile else 'used'}"

    def start(self, device: torch.device) -> None:
        """Compile and run them on few videos."""
        from .pair_gallery import PairCase
        from .pair_scoring import taking_tile

        drawn = PairCase.drawn(self.scorer, _VIDEOS, device)
        with taking_tile(self.scorer, self.queries, self.tile, device):
            scan = drawn.scan(drawn.texts(self.queries))
            scan.score()
            scan.search(1)


@dataclass(frozen=True)
class ServedKernel:
    """A kernel that a server launches by the driver, one of ``ahead.names``."""

    name: str
    arch: int

    def __str__(self) -> str:
        return f"served, {self.name}"

    def start(self, device: torch.device) -> None:
        """Compile it."""
        from ...kernels.cuda.code import compiled
        from ...kernels.topk_attention.ahead import source

        if device.type == "cuda":
            compiled(source(self.name, SHAPE, self.arch), self.arch)


@dataclass(frozen=True)
class Graphs:
    """An encoder's graphs in a precision, exported on processors into the folder ``work``."""

    model: str
    precision: str
    work: Path
    graphs: tuple[str, ...]

    def __str__(self) -> str:
        return f"graphs of {self.model}, {self.precision}"

    def start(self, device: torch.device) -> None:
        """Export them, unless an earlier run did."""
        from ...export.tensorrt.build import typed_source
        from .encoding import exported

        bundle = exported(self.model, self.work)
        for graph in self.graphs:
            typed_source(bundle, graph, self.precision, self.work)


@dataclass(frozen=True)
class CompiledEncoder:
    """An encoder as torch.compile makes it, for a batch."""

    model: str
    graph: str
    precision: str
    batch: int

    def __str__(self) -> str:
        return f"{self.model}, {self.graph} of {self.batch} by torch.compile, {self.precision}"

    def start(self, device: torch.device) -> None:
        """Compile and run it: compiled torch keeps what it made in a cache of its own."""
        from ..inputs.models import system_of
        from .contenders import GRAPHS, by_torch
        from .encoding import inputs

        system = system_of(self.model).folded().to(device)
        given = inputs(system, self.graph, self.batch, device)
        by_torch(system, self.graph, self.precision, given, GRAPHS).call()


Started = ScorerKernels | PairKernels | ServedKernel | Graphs | CompiledEncoder


def start(one: Started, kind: str) -> None:
    """Make one of them, in a process of its own."""
    device = torch.device(kind)
    with surroundings(device):
        one.start(device)
        settle(device)
