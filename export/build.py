"""A checkpoint to a bundle."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from . import parity
from .bundle.errors import BundleError, CheckpointError
from .bundle.manifest import FrameProfile, Manifest
from .bundle.store import Bundle, seal, staged
from .checkpoint import Checkpoint, fingerprint, load, save
from .graphs import ports, with_pixels
from .onnx import OPSET, write_graphs
from .parity_rows import demand
from .systems.contract import System
from .systems.preprocessing import Preprocessing, Resize, Sampler
from .systems.recognise import AUTO, Recognised, build, recognise, settled
from .vocabulary import tokenizer_files

WEIGHTS = "weights.safetensors"


@dataclass(frozen=True)
class Loaded:
    """A checkpoint's model, what was recognised in it, and the options that its weights don't show."""

    system: System
    recognised: Recognised
    options: Mapping[str, Any]


def load_system(checkpoint: Checkpoint, options: Mapping[str, Any], system: str = AUTO) -> Loaded:
    """The eager system of a checkpoint.

    Args:
        options: what the weights don't show; what is not given comes from the checkpoint, or is the authors' default.
        system: one of ``recognise.SYSTEMS``.

    Raises:
        CheckpointError: the weights and options don't make a whole model.
    """
    state = checkpoint.state
    if (
        system == AUTO
        and "top_k" in {**checkpoint.options, **options}
        and any(key.startswith("pool_frames.") for key in state)
    ):
        # X-Pool keeps every frame: who chooses K has the reference model, of which it is a case.
        system = "dong2026"
    recognised = recognise(state, system)
    known = {**recognised.found, **recognised.assumed}
    # JSON has no tuples.
    saved = {key: tuple(value) if isinstance(value, list) else value for key, value in checkpoint.options.items()}
    options = {**{key: value for key, value in saved.items() if key in known}, **options}
    return Loaded(build(state, options, system), recognised, settled(state, options, system))


def build_bundle(
    checkpoint: Path,
    out: Path,
    *,
    options: Mapping[str, Any],
    system: str = AUTO,
    sampler: Sampler | None = None,
    resize: Resize | None = None,
    shortlist: int | None = None,
    merges: Path | None = None,
    overwrite: bool = False,
    report: Callable[[str], None] = lambda _: None,
) -> Bundle:
    """Export a checkpoint; the bundle appears at ``out`` only if every graph agrees with eager PyTorch.

    Args:
        options: what the checkpoint doesn't tell, by the system's names: frames, top_k, heads and others.
        system: one of ``recognise.SYSTEMS``.
        sampler, resize: by name, where they shall not be the authors'.
        shortlist: how many videos are scored, where that is a short list; as many as the scorer's card says if None.
        report: called with a line for every step.

    Raises:
        CheckpointError, BundleError, ParityError: nothing is left behind.
    """
    file = load(checkpoint)
    loaded = load_system(file, options, system)
    model = loaded.system
    authors = loaded.recognised.preprocessing
    profile = replace(
        authors,
        frames=model.frames,
        max_tokens=model.max_tokens,
        sampler=sampler or authors.sampler,
        resize=resize or authors.resize,
    )
    report(loaded.recognised.describe(loaded.options, profile))
    usual = model.scorer.shortlist
    if shortlist is not None and usual is None:
        raise CheckpointError(f"{model.name} scores every video and has no short list: leave --shortlist out")
    frames = _frames(profile)
    with_pixels(model, frames.dtype)
    with staged(out, overwrite=overwrite) as folder:
        tokenizer = tokenizer_files(
            file,
            merges,
            folder,
            vocab_size=model.vocab_size,
            max_tokens=model.max_tokens,
            fixed_length=model.fixed_length,
            sliced_from=None if profile.sliced_from is None else min(profile.sliced_from, model.text_positions),
        )
        if tokenizer.sliced_from is not None:
            longest = tokenizer.context_length - 2
            report(f"texts of more than {longest} tokens lose their end token, as in the authors' code")
        save(folder / WEIGHTS, model, _saved(loaded), file.merges)
        report("writing the ONNX graphs")
        write_graphs(model, folder)
        config = {name: value for name, value in loaded.recognised.found.items() if name != "clip"}
        config |= loaded.options
        if usual is not None:
            config["shortlist"] = shortlist or usual
        chosen = {"sampler": frames.sampler, "resize": frames.resize}
        manifest = Manifest(
            system=model.name,
            scorer=model.scorer.name,
            fingerprint=fingerprint(model.state_dict(), {**loaded.options, **chosen}),
            embed_dim=model.embed_dim,
            frames=frames,
            tokenizer=tokenizer,
            graphs=ports(model),
            config=config,
            versions={"opset": str(OPSET), "python": platform.python_version(), **_versions()},
        )
        report("comparing every graph with eager float64")
        rows = list(parity.compare_graphs(model, folder))
        demand(rows)
        seal(folder, replace(manifest, parity=tuple(row.as_json() for row in rows)))
    return Bundle.open(out)


def eager_system(bundle: Bundle) -> System:
    """The bundle's own weights as the eager system, folded, for comparison.

    Raises:
        BundleError: the weights don't make the system that the manifest names.
    """
    manifest = bundle.manifest
    try:
        system = load_system(load(bundle.file(WEIGHTS)), {}, manifest.system).system.folded()
    except CheckpointError as error:
        raise BundleError(f"{bundle.root} holds no {manifest.system} that this framesift knows: {error}") from error
    return with_pixels(system, manifest.frames.dtype)


def _saved(loaded: Loaded) -> dict[str, Any]:
    """What ``load_system`` reads again, and what a fine-tuning starts from."""
    shown = {name: value for name, value in loaded.recognised.found.items() if name != "clip"}
    return {**shown, **loaded.options}


def _frames(profile: Preprocessing) -> FrameProfile:
    return FrameProfile(
        count=profile.frames,
        size=profile.size,
        sampler=profile.sampler,
        resize=profile.resize,
        crop=profile.crop,
        missing=profile.missing,
        mean=profile.mean,
        std=profile.std,
    )


def _versions() -> dict[str, str]:
    return {name: version(name) for name in ("framesift", "torch", "onnx", "onnxruntime")}
