"""The models that benchmarks run on: a user's bundle, the demo's, and one as large as the paper's."""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from ...export.bundle.errors import BundleError
from ...export.bundle.store import Bundle
from ..options import MODELS

if TYPE_CHECKING:
    from ...export.systems.contract import System
    from ...export.systems.dong2026 import Dong2026

DEMO, VIT_B32 = MODELS


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
        return build_bundle(_checkpoint(model, work), folder, options={}, overwrite=True, report=report)


def system_of(model: str) -> System:
    """The eager system of one of ``MODELS``."""
    from ...export.build import resolve
    from ...export.checkpoint import load

    return (resolve(load(_demo()), {}).build() if model == DEMO else _large()).eval()


def _checkpoint(model: str, work: Path) -> Path:
    if model == DEMO:
        return _demo()
    from ...export.checkpoint import save

    path = work / f"{model}.safetensors"
    if not path.is_file():
        work.mkdir(parents=True, exist_ok=True)
        made = _large()
        save(path, made, made.config.options())
    return path


def _demo() -> Path:
    return Path(str(files("framesift.export.demo") / "demo.safetensors"))


def _large() -> Dong2026:
    """The reference model on CLIP ViT-B/32 with random weights: times don't depend on them."""
    import torch

    from ...export.systems.dong2026 import Dong2026, Dong2026Config

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Dong2026(Dong2026Config())
        # A fresh head is the identity, which would hide a projection that was left out.
        for parameter in model.pool_frames.parameters():
            parameter.data += 0.02 * torch.randn_like(parameter)
    return model
