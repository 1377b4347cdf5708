"""The folder of engines that stands in a bundle, and what must be true before one of them runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ..errors import EngineError, EngineMismatch, InvalidRequest
from ..ports import GRAPHS
from ..store import Bundle, sha256
from .flavours import flavour
from .manifest import MANIFEST, EngineManifest
from .profiles import check_shapes, default_limits

FOLDER = "engines"
# The oldest drivers that run programs of a CUDA release.
_DRIVERS = {12: 525, 13: 580}


@dataclass(frozen=True)
class Engines:
    """A folder of engines whose files match their hashes and whose sources are those of a bundle."""

    root: Path
    manifest: EngineManifest
    bundle: Bundle

    @staticmethod
    def open(folder: Path, bundle: Bundle) -> Engines:
        """Open a folder of engines and verify every file.

        Raises:
            EngineError: no engines there, or files that are missing or changed; all of them are listed.
            EngineMismatch: engines of other graphs than the bundle's.
        """
        path = folder / MANIFEST
        if not path.is_file():
            raise EngineError(f"{folder} holds no engines: it has no {MANIFEST} (make some with `framesift build`)")
        engines = Engines(folder, EngineManifest.from_json(path.read_text(encoding="utf-8")), bundle)
        faults = []
        for name, engine in engines.manifest.graphs.items():
            file = engines.engine(name)
            if not file.is_file():
                faults.append(f"{file.name} is missing")
            elif sha256(file) != engine.sha256:
                faults.append(f"{file.name} has changed since it was built")
        if faults:
            raise EngineError(f"{folder} is damaged: {'; '.join(faults)}. {engines.rebuild()}")
        other = [
            f"{name}.onnx"
            for name in GRAPHS
            if engines.manifest.graphs[name].source != bundle.manifest.files[f"{name}.onnx"]
        ]
        if other:
            raise EngineMismatch(
                f"the engines in {folder} are of model {engines.manifest.fingerprint[:12]}, the bundle is model "
                f"{bundle.manifest.fingerprint[:12]} and differs in {', '.join(other)}. {engines.rebuild()}"
            )
        return engines

    def engine(self, graph: str) -> Path:
        """The path of one graph's engine."""
        return self.root / f"{graph}.engine"

    def check_shapes(self, graph: str, shapes: Mapping[str, Sequence[int]]) -> None:
        """Refuse inputs, shapes by name, that no profile of an engine takes: see ``profiles.check_shapes``."""
        *others, last = self.manifest.graphs[graph].profiles
        for ranges in others:
            with suppress(InvalidRequest):
                return check_shapes(graph, ranges, shapes)
        return check_shapes(graph, last, shapes)

    def check_device(self, capability: str, version: str, driver: str | None = None) -> None:
        """Refuse to run where the engines can't.

        Args:
            capability: of the GPU, as ``sm_89``.
            version: of the TensorRT, or TensorRT for RTX, that shall run them; numbers that it leaves out at the end
                play no part.
            driver: of the GPU, as ``580.95.05``; not looked at where None.

        Raises:
            EngineMismatch: everything that differs, and the command that builds fitting engines.
        """
        made, kind = self.manifest, flavour(self.manifest.flavour)
        faults = []
        if not self._fits(capability):
            faults.append(f"they are for {_hardware(made)}, the GPU here is {capability}")
        if not self._reads(version):
            faults.append(f"they were built with {kind.title} {made.version}, here is {version}")
        needed = _DRIVERS.get(made.cuda or 0, 0)
        if driver is not None and _numbers(driver)[:1] < (needed,):
            faults.append(f"they need the driver of CUDA {made.cuda}, {needed} or later, here is {driver}")
        if not faults:
            return
        if kind.needs_gpu or capability in kind.targets:
            advice = self.rebuild(capability)
        else:
            advice = (
                f"{kind.title} does not know {capability}; build on this machine with: "
                f"framesift build {self.bundle.root} --precision {made.precision}"
            )
        raise EngineMismatch(f"the engines in {self.root} don't run here: {'; '.join(faults)}. {advice}")

    def rebuild(self, capability: str | None = None) -> str:
        """The command that builds these engines again, for one more GPU where that is given."""
        made, kind = self.manifest, flavour(self.manifest.flavour)
        options = [f"--flavour {kind.name}", f"--precision {made.precision}"]
        if not kind.needs_gpu:
            targets = {*made.capabilities, *([capability] if capability else [])}
            options += [f"--target {target}" for target in kind.check_targets(tuple(targets))]
        usual = default_limits(self.bundle.manifest)
        options += [
            f"--max-{name} {getattr(made.limits, name)}"
            for name in ("queries", "videos")
            if getattr(made.limits, name) != getattr(usual, name)
        ]
        if made.version_compatible:
            options.append("--version-compatible")
        if made.hardware != "same_gpu":
            options.append(f"--hardware {made.hardware}")
        where = " on this machine" if kind.needs_gpu else ""
        return f"Build them again{where}: framesift build {self.bundle.root} {' '.join(options)} --overwrite"

    def _fits(self, capability: str) -> bool:
        if self.manifest.hardware == "ampere_plus":
            return int(capability.partition("_")[2]) >= 80
        return capability in self.manifest.capabilities

    def _reads(self, version: str) -> bool:
        here = _numbers(version)
        # A library may give less of its version than the wheel that built.
        built = _numbers(self.manifest.version)[: len(here)]
        if self.manifest.version_compatible:
            # Engines of 10 also run in 11; a later engine never runs in an earlier release.
            return built <= here and here[0] - built[0] <= 1
        return built == here


def folder_of(bundle: Bundle, flavour_name: str, precision: str, targets: Sequence[str]) -> Path:
    """Where the engines of a flavour, precision and targets stand in a bundle."""
    return bundle.root / FOLDER / "-".join((flavour_name, precision, *(target.replace("_", "") for target in targets)))


def check_free(target: Path, *, overwrite: bool) -> None:
    """Refuse to replace what is there unless it is engines and ``overwrite`` is true."""
    if not target.exists():
        return
    if not (target / MANIFEST).is_file():
        raise EngineError(f"{target} exists already and holds no engines")
    if not overwrite:
        raise EngineError(f"{target} exists already: pass --overwrite to replace it")


def _hardware(made: EngineManifest) -> str:
    return "sm_80 and later" if made.hardware == "ampere_plus" else ", ".join(made.capabilities)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())
