"""The models that benchmarks run on: a user's bundle, the demo's, and one as large as the paper's."""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

from ...export.bundle.errors import BundleError
from ...export.bundle.store import Bundle

DEMO, VIT_B32 = "demo", "vit-b32"
MODELS = (DEMO, VIT_B32)


def bundle_of(model: str | Path, work: Path, report: Callable[[str], None] = lambda _: None) -> Bundle:
    """The bundle of one of ``MODELS``, exported into ``work`` unless it lies there, or the one in the folder ``model``.

    Args:
        report: called with a line for every step of an export.

    Raises:
        BundleError: no bundle in that folder, or a damaged one.
    """
    if model not in MODELS:
        return Bundle.open(model)
    from ...export.build import build_bundle

    folder = work / f"bundle-{model}"
    try:
        return Bundle.open(folder)
    except BundleError:
        # None yet, one of another framesift, or one that was left half written.
        checkpoint = _demo() if model == DEMO else _large(work)
        return build_bundle(checkpoint, folder, options={}, overwrite=True, report=report)


def _demo() -> Path:
    return Path(str(files("framesift.export.demo") / "demo.safetensors"))


def _large(work: Path) -> Path:
    """The reference model on CLIP ViT-B/32 with random weights: times don't depend on them."""
    import torch

    from ...export.checkpoint import save
    from ...export.systems.dong2026 import Dong2026, Dong2026Config

    path = work / "vit-b32.safetensors"
    if not path.is_file():
        work.mkdir(parents=True, exist_ok=True)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = Dong2026(Dong2026Config())
            # A fresh head is the identity, which would hide a projection that was left out.
            for parameter in model.pool_frames.parameters():
                parameter.data += 0.02 * torch.randn_like(parameter)
        save(path, model, model.config.options())
    return path
