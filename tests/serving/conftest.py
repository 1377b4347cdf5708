"""A small model's manifest and entries for its gallery."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from framesift.export.bundle.manifest import FrameProfile, Manifest, TokenizerProfile
from framesift.export.bundle.ports import FRAME_EMBEDDINGS, MEAN_EMBEDDING, graph_ports
from framesift.export.bundle.ports import FRAMES as FRAMES_PORT
from framesift.export.bundle.spec import TensorSpec
from framesift.export.bundle.topk_attention import text_record, video_record
from framesift.kernels.topk_attention.layout import HeadShape
from framesift.serving.gallery.rows import GalleryEntry

from .toy_ports import toy_manifest
from .toy_scorer import DIM, FRAMES

SIZE = 32

MakeEntry = Callable[..., GalleryEntry]


def unit(vectors: np.ndarray) -> np.ndarray:
    """The vectors [..., D], each divided by its length."""
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


@pytest.fixture
def manifest() -> Manifest:
    return toy_manifest(FRAMES, SIZE, DIM)


@pytest.fixture
def make_entry() -> MakeEntry:
    def make(id_: str, seed: int = 0, **facts: object) -> GalleryEntry:
        random = np.random.default_rng([seed, *id_.encode()])
        values: dict[str, object] = {
            "tensors": {
                FRAME_EMBEDDINGS: unit(random.standard_normal((FRAMES, DIM), dtype=np.float32)),
                MEAN_EMBEDDING: unit(random.standard_normal(DIM, dtype=np.float32)),
            },
            "timestamps": np.arange(FRAMES, dtype=np.float32) + seed,
            "duration": 3.5,
            "digest": hashlib.sha256(f"{id_} {seed}".encode()).digest(),
        }
        return GalleryEntry(id=id_, **{**values, **facts})  # type: ignore[arg-type]

    return make


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "gallery"


@pytest.fixture
def topk_manifest() -> Manifest:
    """Of a model whose text-conditioned attention keeps 2 of 5 frames of 64 dimensions."""
    shape = HeadShape(5, 64, 2)
    frames = TensorSpec(FRAMES_PORT, "uint8", (5, 3, 32, 32))
    return Manifest(
        system="dong2026",
        scorer="topk_attention",
        fingerprint="model-a",
        embed_dim=64,
        frames=FrameProfile(count=5, size=32),
        tokenizer=TokenizerProfile(),
        graphs=graph_ports([frames], text_record(shape), video_record(shape), attends=True),
        options={"top_k": 2, "heads": 1},
    )
