"""Builds engines of many systems without a GPU: a row for each, with the builder's reason where there is none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from ...export.bundle.engines.flavours import RTX
from ...export.bundle.engines.profiles import default_limits, profile
from ...export.bundle.errors import FramesiftError
from ...export.bundle.ports import GRAPHS
from ...export.bundle.store import Bundle
from ...export.graphs import with_pixels
from ...export.systems.contract import System
from ...export.systems.examples import examples, small_system
from ...export.tensorrt.build import TYPED, typed_source
from ...export.tensorrt.builder import Settings, build_engine
from ..inputs.graphs_bundle import graphs_bundle
from ..inputs.models import DEMO, VIT_B32, system_of
from ..options import MODELS
from ..schema.rows import Engine

TARGETS = ("sm_80", "sm_89", "sm_120")
# Named in rows; the version tells which builder it was.
PACKAGES = ("tensorrt-rtx-cu13-bindings",)


def bundles(work: Path, wanted: Callable[[str], object], report: Callable[[str], None]) -> Iterator[tuple[str, Bundle]]:
    """Every bundle whose system's name is ``wanted``, with that name, made in ``work`` unless it is there."""
    for name in filter(wanted, (DEMO, *examples(), VIT_B32)):
        folder = work / name.replace("/", "-").replace(" ", "_")
        if not folder.exists():
            report(f"exporting {name}")
            graphs_bundle(_system(name), folder)
        yield name, Bundle.open(folder)


def engines(name: str, bundle: Bundle) -> Iterator[Engine]:
    """One row for every graph and precision; the demo's shows what each target can do, others are built for three."""
    targets = (TARGETS, *((target,) for target in RTX.targets)) if name == DEMO else (TARGETS,)
    for some in targets:
        for precision in TYPED:
            for graph in GRAPHS:
                yield _engine(name, bundle, graph, precision, some)


def line(row: Engine) -> str:
    """One row as text."""
    told = row.failure or f"{(row.engine or 0) / 1e6:.2f} MB, {row.seconds:.1f} s"
    return f"{row.system:24}{row.precision:5} {row.graph:14}{','.join(row.targets):22} {told}"


def _system(name: str) -> System:
    if name in MODELS:
        return system_of(name)
    card, _ = examples()[name]
    return with_pixels(small_system(name), card.preprocessing.pixels)


def _engine(name: str, bundle: Bundle, graph: str, precision: str, targets: tuple[str, ...]) -> Engine:
    spans = profile(graph, bundle.manifest, default_limits(bundle.manifest))
    settings = Settings(precision=precision, targets=targets)
    with TemporaryDirectory() as scratch:
        try:
            source = typed_source(bundle, graph, precision, Path(scratch))
            plan, seconds = build_engine(RTX, graph, source, bundle.manifest.graphs[graph], spans, settings)
        except FramesiftError as error:
            return Engine(system=name, graph=graph, precision=precision, targets=targets, failure=str(error))
        return Engine(
            system=name,
            graph=graph,
            precision=precision,
            targets=targets,
            onnx=source.stat().st_size,
            engine=len(plan),
            seconds=round(seconds, 2),
        )
