"""A checkpoint to a bundle."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from . import parity
from .bundle.errors import BundleError, CheckpointError
from .bundle.manifest import FrameProfile, Manifest, TokenizerProfile
from .bundle.merges_file import clip_merges
from .bundle.store import Bundle, seal, staged
from .bundle.text import Tokenizer
from .checkpoint import Checkpoint, fingerprint, fit, load, save
from .graphs import ports
from .onnx import OPSET, write_graphs
from .systems.dong2026 import SCORER, SYSTEM, Dong2026, config_from_state

WEIGHTS = "weights.safetensors"


def load_model(checkpoint: Checkpoint, options: Mapping[str, Any]) -> Dong2026:
    """The eager model of a checkpoint; ``options`` fill in what the weights don't show.

    Raises:
        CheckpointError: the weights and options don't make a whole model.
    """
    config = config_from_state(checkpoint.state, {**checkpoint.options, **options})
    model = Dong2026(config)
    fit(model, checkpoint.state)
    return model.eval()


def tokenizer_files(checkpoint: Checkpoint, vocab_size: int, merges: Path | None, folder: Path) -> TokenizerProfile:
    """Write the vocabulary into ``folder``: the file given, the checkpoint's own, or CLIP's.

    Raises:
        CheckpointError: its size is not that of the checkpoint's token embedding.
    """
    if merges is not None:
        name = "merges.txt.gz" if merges.suffix == ".gz" else "merges.txt"
        shutil.copyfile(merges, folder / name)
    elif checkpoint.merges is not None:
        name = "merges.txt"
        (folder / name).write_text(checkpoint.merges, encoding="utf-8")
    else:
        name = "merges.txt.gz"
        shutil.copyfile(clip_merges(), folder / name)
    length = checkpoint.state["clip.positional_embedding"].shape[0]
    buckets = tuple(b for b in (16, 32) if b < length)
    profile = TokenizerProfile(merges=name, context_length=length, buckets=(*buckets, length))
    found = Tokenizer.load(folder / name, profile).vocab_size
    if found != vocab_size:
        raise CheckpointError(
            f"the checkpoint knows {vocab_size} tokens and the vocabulary {merges or name} makes {found}: "
            "pass the merges file that it was trained with (--merges)"
        )
    return profile


def build_bundle(
    checkpoint: Path,
    out: Path,
    *,
    options: Mapping[str, Any],
    merges: Path | None = None,
    overwrite: bool = False,
    report: Callable[[str], None] = lambda _: None,
) -> Bundle:
    """Export a checkpoint; the bundle appears at ``out`` only if every graph agrees with eager PyTorch.

    Args:
        options: frames, top_k, heads, temporal where the checkpoint doesn't tell.
        report: called with a line for every step.

    Raises:
        CheckpointError, BundleError, ParityError: nothing is left behind.
    """
    loaded = load(checkpoint)
    model = load_model(loaded, options)
    config = model.config
    report(
        f"{SYSTEM}: {config.clip.vision_width}-wide vision tower of {config.clip.vision_layers} layers, "
        f"patch {config.clip.patch}, {config.clip.image_size} px; {config.options()}"
    )
    with staged(out, overwrite=overwrite) as folder:
        tokenizer = tokenizer_files(loaded, config.clip.vocab_size, merges, folder)
        save(folder / WEIGHTS, model, config.options(), loaded.merges)
        report("writing the ONNX graphs")
        write_graphs(model, folder)
        frames = FrameProfile(count=config.frames, size=config.clip.image_size)
        manifest = Manifest(
            system=SYSTEM,
            scorer=SCORER,
            fingerprint=fingerprint(model.state_dict(), config.options()),
            embed_dim=config.clip.embed_dim,
            frames=frames,
            tokenizer=tokenizer,
            graphs=ports(model),
            config=config.options(),
            versions={"opset": str(OPSET), "python": platform.python_version(), **_versions()},
        )
        report("comparing every graph with eager float64")
        rows = list(parity.compare_graphs(model, folder))
        parity.demand(rows)
        seal(folder, replace(manifest, parity=tuple(row.as_json() for row in rows)))
    return Bundle.open(out)


def eager_model(bundle: Bundle) -> Dong2026:
    """The bundle's own weights as the eager model, for comparison."""
    if bundle.manifest.system != SYSTEM:
        raise BundleError(f"{bundle.root} holds {bundle.manifest.system}, this framesift knows {SYSTEM}")
    return load_model(load(bundle.file(WEIGHTS)), {})


def _versions() -> dict[str, str]:
    return {name: version(name) for name in ("framesift", "torch", "onnx", "onnxruntime")}
