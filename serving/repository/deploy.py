"""A bundle to a self-contained model repository, for the embedded server or NVIDIA's container."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Literal

from ...export.bundle.errors import BundleError
from ...export.bundle.ports import SCORER
from ...export.bundle.store import MANIFEST, Bundle
from .container import container_files
from .plan import GALLERY_INDEX, GALLERY_LOOKUP, GALLERY_SEARCH, TOKENIZER, VIDEO_DECODER, Model, plan
from .render import write

Target = Literal["embedded", "container"]
REPOSITORY = "model_repository"
# What the Python models import, from the package's root; of the scorer's modules only those for a GPU need torch.
_SERVED_PACKAGES = ("export/bundle", "serving/backends", "serving/gallery")
_SCORER_PACKAGE = "kernels/topk_attention"


def deploy(bundle: Bundle, out: Path, target: Target, *, link: bool = False) -> Path:
    """Write everything that a server needs to serve ``bundle`` below ``out``.

    Both targets get the very same ``model_repository``; for the container, framesift's own modules, a Dockerfile and a
    requirements file come with it, because the container has none of them.

    Args:
        out: a new or empty folder.
        link: link the graphs instead of copying them, for a repository that lives as long as its bundle.

    Returns:
        The model repository's folder.

    Raises:
        BundleError: ``out`` holds something already.
    """
    if out.exists() and any(out.iterdir()):
        raise BundleError(f"{out} is not empty: give a new folder, or empty it first")
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
    if target == "container":
        _copy_package(out / "python" / "framesift")
        for name, text in container_files(bundle.manifest).items():
            (out / name).write_text(text, encoding="utf-8")
            if name.endswith(".sh"):
                (out / name).chmod(0o755)
    return repository


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
        sources.extend(sorted((root / package).glob("*.py")))
    sources.extend(sorted((root / _SCORER_PACKAGE).glob("*.py")))
    # The compiled scorer runs under any Python; where it was not built, numpy scores.
    sources.extend(sorted((root / _SCORER_PACKAGE).glob("_scan_*.so")))
    for source in sources:
        copy = target / source.relative_to(root)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, copy)
