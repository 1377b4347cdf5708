"""A bundle to a self-contained model repository, for the embedded server or NVIDIA's container."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Literal

from ...export.bundle.engines.manifest import MANIFEST as ENGINES
from ...export.bundle.engines.manifest import Engines
from ...export.bundle.errors import BundleError, EngineError
from ...export.bundle.ports import SCORER, TEXT_ENCODER, VIDEO_ENCODER
from ...export.bundle.store import MANIFEST, Bundle
from .config import render, to_text
from .container import container_files
from .engine_check import CHECKED
from .plan import GALLERY_INDEX, GALLERY_LOOKUP, GALLERY_SEARCH, TOKENIZER, VIDEO_DECODER, Model, plan
from .render import TENSORRT, write

Target = Literal["embedded", "container", "tensorrt"]
REPOSITORY = "model_repository"
# What the Python models import, from the package's root; of the scorer's modules only those for a GPU need torch.
_SERVED_PACKAGES = ("export/bundle", "serving/backends", "serving/gallery", "serving/search")
_SCORER_PACKAGE = "kernels/topk_attention"


def deploy(bundle: Bundle, out: Path, target: Target, *, engines: Engines | None = None, link: bool = False) -> Path:
    """Write everything that a server needs to serve ``bundle`` below ``out``.

    All targets get the very same ``model_repository``; for the container, framesift's own modules, a Dockerfile and a
    requirements file come with it, because the container has none of them. The target ``tensorrt`` is the container
    with engines beside the encoders' graphs, which its TensorRT backend serves.

    Args:
        out: a new or empty folder.
        engines: of this bundle, for the target ``tensorrt`` alone.
        link: link the graphs instead of copying them, for a repository that lives as long as its bundle.

    Returns:
        The model repository's folder.

    Raises:
        BundleError: ``out`` holds something already.
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
    repository = out / REPOSITORY
    write(repository, bundle.manifest)
    place: Callable[[Path, Path], object] = os.symlink if link else shutil.copyfile
    for served in plan(bundle.manifest):
        version = repository / served.name / "1"
        version.mkdir(exist_ok=True)
        if not isinstance(served, Model):
            continue
        for name, source in _weights(bundle, served).items():
            place(source.resolve(), version / name)
        if served.warmup is not None:
            for name, raw in served.warmup.files.items():
                (repository / served.name / "warmup").mkdir(exist_ok=True)
                (repository / served.name / "warmup" / name).write_bytes(raw)
    if engines is not None:
        _place_engines(engines, out, place)
    if target != "embedded":
        _copy_package(out / "python" / "framesift")
        for name, text in container_files(bundle.manifest, engines=engines is not None).items():
            (out / name).write_text(text, encoding="utf-8")
            if name.endswith(".sh"):
                (out / name).chmod(0o755)
    return repository


def _place_engines(engines: Engines, out: Path, place: Callable[[Path, Path], object]) -> None:
    """The encoders' engines. The scorer takes requests of any shape, of which its engine's profile holds a part."""
    repository = out / REPOSITORY
    for served in plan(engines.bundle.manifest):
        if isinstance(served, Model) and served.name in (VIDEO_ENCODER, TEXT_ENCODER):
            path = repository / served.name / TENSORRT
            path.write_text(to_text(render(served, "tensorrt")), encoding="utf-8")
            place(engines.engine(served.name).resolve(), repository / served.name / "1" / "model.plan")
    (out / CHECKED).mkdir()
    shutil.copyfile(engines.root / ENGINES, out / CHECKED / ENGINES)
    shutil.copyfile(engines.bundle.root / MANIFEST, out / CHECKED / MANIFEST)


def _weights(bundle: Bundle, model: Model) -> dict[str, Path]:
    manifest = {MANIFEST: bundle.root / MANIFEST}
    if model.body is None:
        return {"model.onnx": bundle.graph(model.name)}
    if model.name == TOKENIZER:
        merges = bundle.manifest.tokenizer.merges
        return {**manifest, merges: bundle.file(merges)}
    if model.name == GALLERY_SEARCH:
        return {**manifest, f"{SCORER}.onnx": bundle.graph(SCORER)}
    if model.name in {VIDEO_DECODER, GALLERY_INDEX, GALLERY_LOOKUP}:
        return manifest
    raise AssertionError(f"the files of {model.name} are not known")


def _copy_package(target: Path) -> None:
    root = Path(str(files("framesift")))
    sources = [root / "__init__.py", root / "export/__init__.py", root / "serving/__init__.py"]
    for package in _SERVED_PACKAGES:
        sources.extend(sorted((root / package).rglob("*.py")))
    sources.extend(sorted((root / _SCORER_PACKAGE).glob("*.py")))
    sources.extend(sorted((root / "kernels").glob("*.py")))
    sources.extend(root / "serving/repository" / f"{name}.py" for name in ("__init__", "engine_check"))
    # The compiled scorer runs under any Python; where it was not built, numpy scores.
    sources.extend(sorted((root / _SCORER_PACKAGE).glob("_scan_*.so")))
    for source in sources:
        copy = target / source.relative_to(root)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, copy)
