"""The committed model repository: configurations and shims, without weights."""

from __future__ import annotations

from pathlib import Path

from ...export.bundle.errors import BundleError
from ...export.bundle.manifest import FrameProfile, Manifest, TokenizerProfile
from ...export.bundle.models import GALLERY_INDEX, GALLERY_LOOKUP, GALLERY_SEARCH
from ...export.bundle.ports import FRAMES, TEXT_ENCODER, VIDEO_ENCODER, graph_ports
from ...export.bundle.scorers import TOPK_ATTENTION
from ...export.bundle.spec import TensorSpec
from ...export.bundle.topk_attention import text_record, video_record
from ...kernels.topk_attention.layout import HeadShape
from .config import Variant, parse, render, to_text
from .plan import plan
from .served import Model, Served

CONFIG = "config.pbtxt"
# Read by a server that is started with --model-config-name=embedded, cuda, accelerated or tensorrt.
EMBEDDED, CUDA, ACCELERATED, TENSORRT = (
    f"configs/{name}.pbtxt" for name in ("embedded", "cuda", "accelerated", "tensorrt")
)
_ON_GPUS: dict[str, Variant] = {CUDA: "cuda", ACCELERATED: "accelerated", TENSORRT: "tensorrt"}
_BACKENDS = "framesift.serving.backends"
# The same models where their gallery is in shards.
_SHARDS = "framesift.serving.shards"
_ASKING = frozenset({GALLERY_INDEX, GALLERY_SEARCH, GALLERY_LOOKUP})


def reference_manifest() -> Manifest:
    """The reference model's sizes (ViT-B/32, 12 frames, 512 wide), for rendering without a bundle."""
    frames = FrameProfile()
    shape = HeadShape(frames.count, 512, top_k=4)
    pixels = TensorSpec(FRAMES, frames.dtype, (frames.count, 3, frames.size, frames.size))
    record = video_record(shape)
    return Manifest(
        system="dong2026",
        scorer=TOPK_ATTENTION.name,
        fingerprint="",
        embed_dim=shape.width,
        frames=frames,
        tokenizer=TokenizerProfile(),
        graphs=graph_ports([pixels], text_record(shape), record, attends=TOPK_ATTENTION.attends, like=record[:1]),
    )


def shim(model: Model, *, sharded: bool = False) -> str:
    """The ``model.py`` of a Python model: its body lies in framesift."""
    package = _SHARDS if sharded and model.name in _ASKING else _BACKENDS
    return (
        f'"""The {model.name} model of Triton server; its body can be imported without the server."""\n\n'
        f"from {package}.{model.kind} import {model.body} as TritonPythonModel  # noqa: F401\n"
    )


def files(served: Served, *, sharded: bool = False) -> dict[str, str]:
    """Every text file of one model's folder, by its path in that folder."""
    written = {CONFIG: to_text(render(served))}
    if isinstance(served, Model):
        if served.body is None:
            # The scorer takes requests of any shape.
            if served.kind in (VIDEO_ENCODER, TEXT_ENCODER):
                written[CUDA] = to_text(render(served, "cuda"))
                written[ACCELERATED] = to_text(render(served, "accelerated"))
            if (embedded := to_text(render(served, "embedded"))) != written[CONFIG]:
                written[EMBEDDED] = embedded
        else:
            written["1/model.py"] = shim(served, sharded=sharded)
            if served.kind == GALLERY_SEARCH and not sharded:
                for name, variant in _ON_GPUS.items():
                    written[name] = to_text(render(served, variant))
    return written


def write(root: Path, manifest: Manifest, chooser: Manifest | None = None, *, sharded: bool = False) -> list[Path]:
    """Write all configurations and shims below ``root``; returns what was written. The others are ``plan``'s.

    Args:
        sharded: the models are those that ask shards.
    """
    written = []
    for served in plan(manifest, chooser):
        for name, text in files(served, sharded=sharded).items():
            path = root / served.name / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            written.append(path)
    return written


def ask_shards(root: Path, manifest: Manifest) -> None:
    """Have the models of a deployed repository, which can be written, ask shards from now on."""
    for served in plan(manifest):
        if isinstance(served, Model) and served.name in _ASKING:
            (root / served.name / "1/model.py").write_text(shim(served, sharded=True), encoding="utf-8")


def differences(root: Path, manifest: Manifest) -> list[str]:
    """What in ``root`` is not as the plan says; configurations are compared as parsed messages."""
    found = []
    wanted = {served.name: files(served) for served in plan(manifest)}
    for model, texts in wanted.items():
        for name, text in texts.items():
            path = root / model / name
            if not path.is_file():
                found.append(f"{model}/{name} is missing")
            elif not _same(name, path.read_text(encoding="utf-8"), text):
                found.append(f"{model}/{name} differs")
    strangers = {p.name for p in root.iterdir() if p.is_dir()} - set(wanted) if root.is_dir() else set()
    return [*found, *(f"{name} is not in the plan" for name in sorted(strangers))]


def _same(name: str, found: str, wanted: str) -> bool:
    if not name.endswith(".pbtxt"):
        return found == wanted
    try:
        return bool(parse(found) == parse(wanted))
    except ValueError as error:
        raise BundleError(f"a committed {name} can't be parsed: {error}") from error
