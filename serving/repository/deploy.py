"""A bundle to a self-contained model repository, for the embedded server or NVIDIA's container."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

from ...export.bundle.engines.check import CHECKED
from ...export.bundle.engines.folder import Engines
from ...export.bundle.engines.manifest import MANIFEST as ENGINES
from ...export.bundle.engines.profiles import scorer_profiles
from ...export.bundle.errors import BundleError, EngineError
from ...export.bundle.manifest import Manifest
from ...export.bundle.models import GALLERY_MODELS
from ...export.bundle.ports import SCORER, TEXT_ENCODER, VIDEO_ENCODER
from ...export.bundle.scorers import max_pairs
from ...export.bundle.shortlist import FOLDER
from ...export.bundle.store import MANIFEST, Bundle
from .config import PLACED, render, to_text
from .container import container_files
from .placement import USUAL, Placement
from .plan import plan
from .render import EMBEDDED, TENSORRT, write
from .served import Model
from .targets import Target

REPOSITORY = "model_repository"
# What the front door reads, beside the repository: the bundle's manifest and vocabulary.
DOOR = "door"
# What the Python models, the door and the launcher import, from the package's root. The compiled scans run under any
# Python; where they were not built, numpy or the graph scores. Modules that need torch are imported where there is a
# GPU for them.
_SERVED_PACKAGES = (
    "kernels",
    "export/bundle",
    "serving/gallery",
    "serving/search",
    "serving/backends",
    "serving/repository",
    "serving/client",
    "serving/front",
    "serving/server",
    "serving/indexing",
    "serving/migration",
    "serving/shards",
)
_COMMANDS = tuple(
    f"serving/{name}.py" for name in ("launch", "needed", "cluster_option", "index_command", "migrate_command")
)


def deploy(
    bundle: Bundle,
    out: Path,
    target: Target,
    *,
    chooser: Bundle | None = None,
    engines: Engines | None = None,
    placement: Placement = USUAL,
    link: bool = False,
    sharded: bool = False,
) -> Path:
    """Write everything that a server needs to serve ``bundle`` below ``out``.

    All targets get the very same ``model_repository``; for the container, framesift's own modules, a Dockerfile, pinned
    requirements, the scripts that start both servers and index, compose files and a Helm chart come with it. The
    target ``tensorrt`` is the container with engines beside the encoders' graphs, which its TensorRT backend serves.

    Args:
        out: a new or empty folder.
        chooser: the bundle that chooses candidates for this one.
        engines: of this bundle, for the target ``tensorrt`` alone.
        placement: how the gallery is kept; ``cuda`` is for the target ``embedded``.
        link: link the graphs instead of copying them, for a repository that lives as long as its bundle.
        sharded: the gallery is in shards, which actors of a Ray cluster search.

    Returns:
        The model repository's folder.

    Raises:
        BundleError: ``out`` holds something already, ``chooser`` can't choose for the bundle, or its gallery can't have
            the storage or a coarse stage.
        EngineError: the target ``tensorrt`` without engines, or engines that Triton server can't run.
    """
    if out.exists() and any(out.iterdir()):
        raise BundleError(f"{out} is not empty: give a new folder, or empty it first")
    if (target == "tensorrt") != (engines is not None):
        raise EngineError("the target tensorrt needs the folder of its engines (--engines); no other target takes any")
    if engines is not None and engines.manifest.flavour != "tensorrt":
        raise EngineError(
            f"{engines.root} holds engines of {engines.manifest.flavour}, which Triton server's TensorRT backend can't "
            f"run: build some on the machine that shall serve: framesift build {bundle.root} --flavour tensorrt"
        )
    repository, manifest = out / REPOSITORY, placement.told(bundle.manifest)
    other = None if chooser is None else chooser.manifest
    write(repository, manifest, other, sharded=sharded)
    place: Callable[[Path, Path], object] = os.symlink if link else shutil.copyfile
    for served in plan(manifest, other):
        version = repository / served.name / "1"
        version.mkdir(exist_ok=True)
        if not isinstance(served, Model):
            continue
        if placement.cuda and served.kind in PLACED:
            placed = repository / served.name / EMBEDDED
            placed.parent.mkdir(exist_ok=True)
            placed.write_text(to_text(render(served, "embedded", cuda=True)), encoding="utf-8")
        for name, source in _weights(chooser if served.prefix and chooser else bundle, served).items():
            place(source.resolve(), version / name)
        if served.body is not None:
            _tell(chooser.manifest if served.prefix and chooser else manifest, version)
        if chooser is not None and served.name in GALLERY_MODELS:
            (version / FOLDER).mkdir()
            for name, source in _weights(chooser, served).items():
                place(source.resolve(), version / FOLDER / name)
            _tell(chooser.manifest, version / FOLDER)
        if served.warmup is not None:
            for name, raw in served.warmup.files.items():
                (repository / served.name / "warmup").mkdir(exist_ok=True)
                (repository / served.name / "warmup" / name).write_bytes(raw)
    for folder, read, told in ((out / DOOR, bundle, manifest), (out / DOOR / FOLDER, chooser, other)):
        if read is not None and told is not None:
            folder.mkdir()
            for name in told.tokenizer.files:
                place((read.root / name).resolve(), folder / name)
            _tell(told, folder)
    if engines is not None:
        _place_engines(engines, out, place)
    if target != "embedded":
        _copy_packages(out / "python" / "framesift")
        link_encoders(out, manifest, other)
        for name, text in container_files(manifest, other, engines=engines is not None).items():
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            (out / name).write_text(text, encoding="utf-8")
            if name.endswith(".sh"):
                (out / name).chmod(0o755)
    return repository


def link_encoders(out: Path, manifest: Manifest, chooser: Manifest | None) -> None:
    """Beside each manifest that the door reads the graph that encodes videos, where jobs that index find it."""
    for served in plan(manifest, chooser):
        if isinstance(served, Model) and served.kind == VIDEO_ENCODER:
            folder = out / DOOR / FOLDER if served.prefix else out / DOOR
            graph = out / REPOSITORY / served.name / "1" / "model.onnx"
            (folder / f"{VIDEO_ENCODER}.onnx").symlink_to(os.path.relpath(graph, folder))


def _place_engines(engines: Engines, out: Path, place: Callable[[Path, Path], object]) -> None:
    """The encoders' engines, and the scorer's where its profiles hold every request that is served."""
    repository, manifest = out / REPOSITORY, engines.bundle.manifest
    held = engines.manifest.graphs[SCORER].profiles == scorer_profiles(manifest, max_pairs(manifest))
    names = (VIDEO_ENCODER, TEXT_ENCODER, *([SCORER] if held else []))
    for served in plan(manifest):
        if isinstance(served, Model) and served.name in names:
            path = repository / served.name / TENSORRT
            path.parent.mkdir(exist_ok=True)
            path.write_text(to_text(render(served, "tensorrt")), encoding="utf-8")
            place(engines.engine(served.name).resolve(), repository / served.name / "1" / "model.plan")
    (out / CHECKED).mkdir()
    shutil.copyfile(engines.root / ENGINES, out / CHECKED / ENGINES)
    shutil.copyfile(engines.bundle.root / MANIFEST, out / CHECKED / MANIFEST)


def _weights(bundle: Bundle, model: Model) -> dict[str, Path]:
    if model.body is None:
        return {"model.onnx": bundle.graph(model.kind)}
    return {name: bundle.file(name) for name in model.files}


def _tell(manifest: Manifest, folder: Path) -> None:
    (folder / MANIFEST).write_text(manifest.to_json(), encoding="utf-8")


def _copy_packages(target: Path) -> None:
    root = Path(str(files("framesift")))
    (target / "serving").mkdir(parents=True)
    for command in _COMMANDS:
        shutil.copyfile(root / command, target / command)
    for package in _SERVED_PACKAGES:
        shutil.copytree(root / package, target / package, ignore=shutil.ignore_patterns("__pycache__"))
        for parent in Path(package, "__init__.py").parents[1:]:
            if (root / parent / "__init__.py").is_file():
                shutil.copyfile(root / parent / "__init__.py", target / parent / "__init__.py")
