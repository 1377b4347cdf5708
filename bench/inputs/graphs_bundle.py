"""A system's graphs and their manifest, without weights, words and comparison: enough to build engines from."""

from __future__ import annotations

from pathlib import Path

from ...export.bundle.manifest import FrameProfile, Manifest, TokenizerProfile
from ...export.bundle.ports import MASK
from ...export.bundle.store import Bundle, seal, staged
from ...export.checkpoint import fingerprint
from ...export.graphs import ports
from ...export.onnx import write_graphs
from ...export.systems.contract import System
from ...export.vocabulary import BUCKETS


def graphs_bundle(system: System, out: Path) -> Bundle:
    """The graphs of a system in the new folder ``out``."""
    with staged(out) as folder:
        write_graphs(system, folder)
        manifest = described(system)
        for name in manifest.tokenizer.files:
            (folder / name).touch()
        seal(folder, manifest)
    return Bundle.open(out)


def described(system: System) -> Manifest:
    """The manifest of a system's graphs, without files."""
    shorter = () if system.fixed_length else tuple(bucket for bucket in BUCKETS if bucket < system.max_tokens)
    first, *more = system.video_inputs
    masked = any(tensor.name == MASK for tensor in more)
    pictures = FrameProfile(count=system.frames, size=first.shape[-1], missing="mask" if masked else "repeat")
    return Manifest(
        system=system.name,
        scorer=system.scorer.name,
        fingerprint=fingerprint(system.state_dict(), {}),
        embed_dim=system.embed_dim,
        frames=pictures if system.takes_frames else None,
        features=system.features,
        tokenizer=TokenizerProfile(context_length=system.max_tokens, buckets=(*shorter, system.max_tokens)),
        graphs=ports(system),
    )
