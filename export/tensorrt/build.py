"""A bundle's three graphs to engines."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from ... import __version__
from ..bundle.engines.device import Device, local_device
from ..bundle.engines.flavours import Flavour
from ..bundle.engines.folder import Engines, check_free, folder_of
from ..bundle.engines.manifest import MANIFEST, EngineManifest, GraphEngine
from ..bundle.engines.profiles import EngineLimits, Range, default_limits, profile, scorer_profiles
from ..bundle.errors import EngineError
from ..bundle.ports import GRAPHS, SCORER
from ..bundle.scorers import max_pairs
from ..bundle.store import Bundle, sha256, staged
from .builder import Settings, build_engine, check_settings
from .plugin import registered
from .progress import Progress

if TYPE_CHECKING:
    from ..precision.calibration import Feeds
    from ..precision.gate import Gate
    from ..precision.int8 import Bits
    from ..precision.verdict import Verdict

# Strongly typed float32 graphs: they are the bundle's own.
_AS_EXPORTED = ("fp32", "tf32")
TYPED = (*_AS_EXPORTED, "fp16", "bf16")
QUANTISED: tuple[Bits, ...] = ("int8", "fp8")
PRECISIONS = (*TYPED, *QUANTISED)


def build_engines(
    bundle: Bundle,
    flavour: Flavour,
    settings: Settings,
    limits: EngineLimits | None = None,
    *,
    overwrite: bool = False,
    gate: Callable[[], Gate] | None = None,
    progress: Callable[[str], Progress] = lambda _: lambda _: None,
    report: Callable[[str], None] = lambda _: None,
) -> Engines:
    """Build the engines of a bundle into its folder; they appear there only if every graph was built.

    Args:
        limits: the largest calls; ``default_limits`` where None.
        gate: called, where the precision is not fp32, for what judges the graphs before they are built; without it they
            are built as they are. Eight bits need it: its inputs range the activations.
        report: called with a line for every step of quantising.
        progress: called with the name of each graph before it is built; what it returns is called with the progress.

    Raises:
        EngineError: a graph can't be built, or what was asked can't be done.
        PrecisionError: the ranking suffers more than it may.
    """
    if bundle.manifest.film is not None:
        raise EngineError(
            f"{bundle.root} reads films of any length, and an engine is built for shapes of a few sizes: serve its "
            "graphs with ONNX Runtime, on a GPU with its CUDA provider"
        )
    device = local_device()
    settings = replace(settings, targets=flavour.check_targets(settings.targets, device.capability if device else None))
    check_settings(flavour, settings)
    limits = limits or default_limits(bundle.manifest)
    trt = flavour.load()
    if flavour.needs_gpu and device is None:
        raise EngineError(
            f"{flavour.title} builds on the GPU that shall serve, and nvidia-smi finds none here; "
            f"--flavour rtx builds without one"
        )
    target = folder_of(bundle, flavour.name, settings.precision, settings.targets)
    check_free(target, overwrite=overwrite)
    with staged(target, overwrite=overwrite, marker=MANIFEST) as folder, TemporaryDirectory() as scratch:
        sources, verdict = _sources(bundle, settings.precision, Path(scratch), gate, report)
        missing = registered(trt, flavour, bundle.manifest)
        if not missing:
            # The kernel has a precision of its own: text vectors in full, and float32 frames as three TF32 products.
            sources[SCORER] = bundle.graph(SCORER)
        elif flavour.needs_gpu:
            report(f"the scorer's engine keeps to standard operators: {missing}")
        engines = {}
        for graph in GRAPHS:
            ranges, *others = _profiles(graph, flavour, bundle, limits)
            ports = bundle.manifest.graphs[graph]
            plan, seconds = build_engine(
                flavour, graph, sources[graph], ports, ranges, settings, progress(graph), others=others
            )
            path = folder / f"{graph}.engine"
            path.write_bytes(plan)
            engines[graph] = GraphEngine(
                source=bundle.manifest.files[f"{graph}.onnx"],
                sha256=sha256(path),
                bytes=len(plan),
                seconds=round(seconds, 3),
                profile=ranges,
                others=tuple(others),
                plugin=graph == SCORER and not missing,
            )
        manifest = EngineManifest(
            flavour=flavour.name,
            version=str(trt.__version__),
            precision=settings.precision,
            capabilities=_capabilities(settings, device),
            gpu=device.name if device else None,
            driver=device.driver if device else None,
            cuda=flavour.cuda(),
            version_compatible=settings.version_compatible,
            hardware=settings.hardware,
            limits=limits,
            fingerprint=bundle.manifest.fingerprint,
            graphs=engines,
            date=datetime.now(UTC).isoformat(timespec="seconds"),
            framesift=__version__,
            gate=verdict,
        )
        (folder / MANIFEST).write_text(manifest.to_json(), encoding="utf-8")
    return Engines.open(target, bundle)


def _profiles(graph: str, flavour: Flavour, bundle: Bundle, limits: EngineLimits) -> list[dict[str, Range]]:
    """One, as the limits ask; of a scorer that Triton server shall run, all that hold what is served."""
    manifest = bundle.manifest
    if graph == SCORER and flavour.needs_gpu and limits == default_limits(manifest):
        return scorer_profiles(manifest, max_pairs(manifest))
    return [profile(graph, manifest, limits)]


def typed_source(bundle: Bundle, graph: str, precision: str, scratch: Path) -> Path:
    """The ONNX file of a graph in a precision: the bundle's own, or one written into ``scratch``."""
    source = bundle.graph(graph)
    if precision in _AS_EXPORTED:
        return source
    from ..precision.typed_graph import typed_graph

    out = scratch / f"{graph}.onnx"
    typed_graph(source, out, precision)
    return out


def _sources(
    bundle: Bundle,
    precision: str,
    scratch: Path,
    gate: Callable[[], Gate] | None,
    report: Callable[[str], None],
) -> tuple[dict[str, Path], Mapping[str, Any] | None]:
    """The ONNX file of every graph, and for the manifest what the gate found of them, without its stages."""
    if precision in QUANTISED:
        if gate is None:
            raise EngineError(f"{precision} needs videos and captions to range activations by")
        return _quantised(bundle, precision, scratch, gate(), report)
    sources = {graph: typed_source(bundle, graph, precision, scratch) for graph in GRAPHS}
    if gate is None or precision == "fp32":
        return sources, None
    from ..precision.verdict import demand

    (folder,) = {path.parent for path in sources.values()}
    # Casts and products are rehearsed as they stand, without a CPU's fusions.
    verdict = gate().judge(folder, precision, optimise=False)
    demand(verdict)
    return sources, _told(verdict)


def _quantised(
    bundle: Bundle, bits: Bits, scratch: Path, gate: Gate, report: Callable[[str], None]
) -> tuple[dict[str, Path], Mapping[str, Any]]:
    from ..precision.fitting import TOWERS, fitted
    from ..precision.int8 import qdq_graph

    def write(source: Path, out: Path, feeds: Sequence[Feeds], floating: Collection[str]) -> None:
        qdq_graph(source, out, feeds, bits=bits, floating=floating)

    floating, verdict = fitted(gate, scratch, bits, write, optimise=False, report=report)
    sources = {graph: scratch / f"{graph}.onnx" if graph in TOWERS else bundle.graph(graph) for graph in GRAPHS}
    return sources, {**_told(verdict), "floating": floating}


def _told(verdict: Verdict) -> dict[str, Any]:
    return {key: value for key, value in verdict.as_json().items() if key != "stages"}


def _capabilities(settings: Settings, device: Device | None) -> tuple[str, ...]:
    return settings.targets or ((device.capability,) if device else ())
