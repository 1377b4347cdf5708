"""Every published system with small random weights and a vocabulary of bytes, and its checkpoint on disk."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import nn

from framesift.export.build import build_bundle
from framesift.export.bundle.store import Bundle
from framesift.export.bundle.text.merges_file import write_merges
from framesift.export.encoders.clip import ClipConfig
from framesift.export.encoders.prompted import PromptConfig
from framesift.export.systems import clip4clip, dgl, stan, ts2net, xclip
from framesift.export.systems.clip4clip_base import Clip4ClipConfig
from framesift.export.systems.dong2026 import Dong2026Config
from framesift.export.systems.xpool import XPool

from .exporting import built_once, read_library_once

read_library_once()

# 56 px in patches of 8 make 50 tokens a frame, enough for patches to be shifted by more than one place.
CLIP = ClipConfig(32, 56, 8, 64, 2, 64, 2, 514, 77)
F, W = 5, 20


def family(header: str, **more: Any) -> Clip4ClipConfig:
    return Clip4ClipConfig(F, W, header, layers=2, positions=33, clip=CLIP, **more)  # type: ignore[arg-type]


def prompts(space: str) -> PromptConfig:
    return PromptConfig(space, F, 2, 8, 4)  # type: ignore[arg-type]


MODELS = {
    "clip4clip meanP": lambda: clip4clip.Clip4Clip(family("meanP")),
    "clip4clip meanP 3d": lambda: clip4clip.Clip4Clip(family("meanP", patch3d=True)),
    "clip4clip seqLSTM": lambda: clip4clip.Clip4Clip(family("seqLSTM")),
    "clip4clip seqTransf": lambda: clip4clip.Clip4Clip(family("seqTransf")),
    "clip4clip tightTransf": lambda: clip4clip.Clip4ClipTight(family("tightTransf")),
    "xclip": lambda: xclip.XClip(family("seqTransf")),
    "ts2net": lambda: ts2net.Ts2Net(
        ts2net.Ts2NetConfig(F, W, "seqTransf", 2, positions=33, clip=CLIP, shift_layers=(1,), samples=6)
    ),
    "dgl transformer": lambda: dgl.Dgl(dgl.DglConfig(W, prompts=prompts("transformer"), clip=CLIP)),
    "dgl linear": lambda: dgl.Dgl(dgl.DglConfig(W, prompts=prompts("linear"), clip=CLIP)),
    "stan": lambda: stan.Stan(stan.StanConfig(F, W, 1, 8, "stan", clip=CLIP)),
    "mug-stan": lambda: stan.MugStan(stan.StanConfig(F, W, 1, 8, "mug", clip=CLIP)),
}
# Options that the weights of the models above don't show and that are not the authors' defaults.
OPTIONS: dict[str, dict[str, Any]] = {
    **{name: {"frames": F, "max_tokens": W} for name in MODELS},
    "xclip": {},
    "ts2net": {"frames": F, "max_tokens": W, "samples": 6},
    "dgl transformer": {"max_tokens": W},
    "stan": {"frames": F, "max_tokens": W, "head": "stan"},
}


def model(name: str) -> Any:
    """The system with random weights everywhere, no zero or identity left."""
    torch.manual_seed(len(name))
    made = MODELS[name]()
    for key, parameter in made.named_parameters():
        if "ln_" not in key and "LayerNorm" not in key and parameter.dim() < 3:
            nn.init.normal_(parameter, std=0.1)
    nn.init.constant_(made.clip.logit_scale, 3.0) if hasattr(made.clip, "logit_scale") else None
    return made.eval()


def xpool() -> XPool:
    """X-Pool: the reference model that keeps every frame, whose attention is no identity here."""
    torch.manual_seed(1)
    made = XPool(Dong2026Config(F, F, 1, "none", clip=CLIP))
    for key, parameter in made.pool_frames.named_parameters():
        if "layer_norm" not in key:
            nn.init.normal_(parameter, std=0.2)
    return made.eval()


def write_checkpoint(name: str, folder: Path) -> tuple[Path, Path]:
    """A file as authors leave it: wrapped, under ``module.``, in half precision; and the merges of its vocabulary."""
    made = xpool() if name == "xpool" else model(name)
    state = {f"module.{key}": value.half() for key, value in made.state_dict().items()}
    torch.save({"epoch": 3, "state_dict": state, "optimizer": {"step": torch.tensor(7)}}, folder / "model.pth")
    write_merges(folder / "merges.txt", [])
    return folder / "model.pth", folder / "merges.txt"


def small_bundle(name: str, bundles: Path) -> Bundle:
    """The system of the checkpoint of that name, exported as its authors' file is, once for all tests."""
    # The file is read as its authors' own options have it, but for what its weights don't show.
    options = {key: value for key, value in OPTIONS.get(name, {"frames": F}).items() if key != "head"}
    system = "stan" if name == "stan" else "auto"

    def build(out: Path) -> Bundle:
        with tempfile.TemporaryDirectory() as folder:
            checkpoint, merges = write_checkpoint(name, Path(folder))
            return build_bundle(checkpoint, out, options=options, system=system, merges=merges)

    return built_once(bundles / name.replace(" ", "-"), build)
