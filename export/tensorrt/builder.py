"""One ONNX graph to one serialised engine."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ..bundle.engines.flavours import Flavour
from ..bundle.engines.profiles import Range
from ..bundle.errors import EngineError
from ..bundle.spec import GraphPorts
from .messages import listening, logger
from .network import check_ports, read_network
from .progress import Progress, monitored

Hardware = Literal["same_gpu", "same_compute_capability", "ampere_plus"]


@dataclass(frozen=True)
class Settings:
    """How engines are built.

    Attributes:
        targets: compute capabilities, for the flavour that takes them.
        workspace: the most bytes of scratch memory that a kernel may use; the builder's own limit where None.
        version_compatible: the engine also runs in later releases of TensorRT; slower, and it carries code that the
            server must be told to trust.
        hardware: which GPUs shall run it beside the one that built it.
        timing_cache: a file of kernel timings, read where it is there, and written; builds of the same graphs on the
            same kind of GPU are then quick and choose the same kernels.
    """

    precision: str = "fp32"
    targets: tuple[str, ...] = ()
    workspace: int | None = None
    version_compatible: bool = False
    hardware: Hardware = "same_gpu"
    timing_cache: Path | None = None


def check_settings(flavour: Flavour, settings: Settings) -> None:
    """Refuse settings that a flavour does not know.

    Raises:
        EngineError: its message names the setting and why.
    """
    flavour.check_targets(settings.targets)
    if settings.workspace is not None and settings.workspace < 1:
        raise EngineError(f"the workspace must be at least 1 byte, not {settings.workspace}")
    if flavour.needs_gpu:
        return
    if settings.version_compatible:
        raise EngineError(f"an engine of {flavour.title} runs in the release that built it only, and must be rebuilt")
    if settings.hardware != "same_gpu":
        raise EngineError(f"{flavour.title} builds for the GPUs given with --target")
    if settings.timing_cache is not None:
        raise EngineError(f"{flavour.title} times no kernels while it builds, so it has no timing cache")


def build_engine(
    flavour: Flavour,
    graph: str,
    source: Path,
    ports: GraphPorts,
    ranges: Mapping[str, Range],
    settings: Settings,
    progress: Progress = lambda _: None,
    *,
    others: Sequence[Mapping[str, Range]] = (),
) -> tuple[bytes, float]:
    """Build the engine of one graph.

    Args:
        source: its ONNX file, in the types in which it shall run.
        ports: what the file's inputs and outputs must be.
        ranges: the shapes of every input.
        others: further profiles, such as ``scorer_profiles`` gives them; an execution context takes one.

    Returns:
        The serialised engine, and the seconds that building took.

    Raises:
        EngineError: it can't be built; the message names the graph and the builder's reason.
    """
    check_settings(flavour, settings)
    trt = flavour.load()
    title = f"{flavour.title} {trt.__version__}"
    started = time.monotonic()
    with listening(trt) as messages:
        try:
            builder = trt.Builder(logger(trt))
        except (RuntimeError, TypeError) as error:
            raise EngineError(f"{graph}: {title} does not start: {messages.reason()}") from error
        network = read_network(trt, title, builder, graph, source)
        check_ports(graph, network, ports)
        config = configure(trt, builder, flavour, settings)
        for spans in (ranges, *others):
            config.add_optimization_profile(_profile(graph, builder, spans))
        with monitored(trt, config, progress):
            engine = builder.build_serialized_network(network, config)
        if engine is None:
            raise EngineError(f"{graph}: {title} can't build it: {_advised(messages.reason(), settings)}")
        _keep_timings(config, settings)
        return bytes(engine), time.monotonic() - started


def configure(trt: Any, builder: Any, flavour: Flavour, settings: Settings) -> Any:
    """A builder's configuration as ``settings`` ask, but for the shapes."""
    config = builder.create_builder_config()
    flags = trt.BuilderFlag
    # The builder sets it by default, so that float32 would silently be TensorFloat-32.
    (config.set_flag if settings.precision == "tf32" else config.clear_flag)(flags.TF32)
    if settings.workspace is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, settings.workspace)
    if settings.targets:
        config.num_compute_capabilities = len(settings.targets)
        for place, target in enumerate(settings.targets):
            config.set_compute_capability(getattr(trt.ComputeCapability, target.replace("_", "").upper()), place)
    if settings.version_compatible:
        config.set_flag(flags.VERSION_COMPATIBLE)
    if settings.hardware != "same_gpu":
        config.hardware_compatibility_level = getattr(trt.HardwareCompatibilityLevel, settings.hardware.upper())
    if settings.timing_cache is not None:
        stored = settings.timing_cache.read_bytes() if settings.timing_cache.is_file() else b""
        # Timings of another GPU or release are not used: the builder then starts a cache of its own.
        if not config.set_timing_cache(config.create_timing_cache(stored), ignore_mismatch=False):
            config.set_timing_cache(config.create_timing_cache(b""), ignore_mismatch=False)
    return config


def _keep_timings(config: Any, settings: Settings) -> None:
    if settings.timing_cache is not None:
        timings = config.get_timing_cache()
        settings.timing_cache.parent.mkdir(parents=True, exist_ok=True)
        settings.timing_cache.write_bytes(bytes(timings.serialize()))


def _profile(graph: str, builder: Any, ranges: Mapping[str, Range]) -> Any:
    profile = builder.create_optimization_profile()
    for name, span in ranges.items():
        try:
            profile.set_shape(name, span.min, span.opt, span.max)
        except (RuntimeError, ValueError) as error:
            raise EngineError(f"{graph}: {name} can't have shapes from {span.min} to {span.max}: {error}") from error
    return profile


def _advised(reason: str, settings: Settings) -> str:
    if settings.workspace is not None and "workspace" in reason.lower():
        return f"{reason}. Its workspace is {settings.workspace} bytes: give --workspace more"
    if "sm_75" in settings.targets and ("SM75" in reason or "sm75" in reason):
        return f"{reason}. The graphs keep products in float32, which sm_75 has none of: leave that target out"
    return reason
