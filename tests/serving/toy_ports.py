"""Ports and manifests of small models with a scorer graph of their own, for tests that need no checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from framesift.export.bundle.features.profile import FeatureProfile
from framesift.export.bundle.manifest import FrameProfile, Manifest, TokenizerProfile
from framesift.export.bundle.ports import (
    FRAME_EMBEDDINGS,
    FRAMES,
    MASK,
    MEAN_EMBEDDING,
    NOISE,
    TEXT_EMBEDDING,
    VIDEO_ENCODER,
    graph_ports,
)
from framesift.export.bundle.spec import GraphPorts, TensorSpec


def toy_ports(
    frames: int,
    size: int,
    width: int,
    *,
    dtype: str = "uint8",
    mask: bool = False,
    noise: tuple[int, int] | None = None,
    words: int | None = None,
    attends: bool = True,
    features: FeatureProfile | None = None,
) -> Mapping[str, GraphPorts]:
    """Records of frame embeddings [F, D] and a mean [D]; texts of one embedding [D].

    ``dtype`` is that of the pixels; ``mask`` and ``noise``, its samples and patches, say what else the video encoder
    takes; ``words`` fixes the length of a text. With ``features`` it takes those alone, the largest of their rows.
    """
    takes = [TensorSpec(FRAMES, dtype, (frames, 3, size, size))]
    if mask:
        takes.append(TensorSpec(MASK, "float32", (frames,)))
    if noise:
        takes.append(TensorSpec(NOISE, "float32", (frames, *noise)))
    if features is not None:
        takes = [TensorSpec(f"features_{array.name}", "float32", array.dims[1:]) for array in features.arrays]
    text = [TensorSpec(TEXT_EMBEDDING, "float32", (width,))]
    video = [
        TensorSpec(FRAME_EMBEDDINGS, "float32", (frames, width)),
        TensorSpec(MEAN_EMBEDDING, "float32", (width,), scored=False),
    ]
    return graph_ports(takes, text, video, length=words, attends=attends)


def toy_manifest(
    frames: int, size: int, width: int, *, scorer: str = "frame_softmax", fingerprint: str = "model-a", **ports: Any
) -> Manifest:
    """A manifest of ``toy_ports``, with the pixels' profile that goes with them."""
    pictures = FrameProfile(
        count=frames,
        size=size,
        resize="tensor_bicubic" if ports.get("dtype") == "float32" else "pil_bicubic",
        missing="mask" if ports.get("mask") else "repeat",
    )
    return Manifest(
        system="dong2026",
        scorer=scorer,
        fingerprint=fingerprint,
        embed_dim=width,
        frames=None if ports.get("features") else pictures,
        features=ports.get("features"),
        tokenizer=TokenizerProfile(),
        graphs=toy_ports(frames, size, width, **ports),
    )


def whole_pairs(limit: int = 3, **ports: Any) -> Manifest:
    """A manifest of a model that reads every text and video together, ``limit`` of them, and keeps no mean."""
    made = toy_manifest(3, 32, 8, scorer="clip_pooling", attends=False, **ports)
    encoder = made.graphs[VIDEO_ENCODER]
    kept = tuple(port for port in encoder.outputs if port.name != MEAN_EMBEDDING)
    graphs = {**made.graphs, VIDEO_ENCODER: GraphPorts(encoder.inputs, kept)}
    return replace(made, graphs=graphs, options={"scan_limit": limit})
