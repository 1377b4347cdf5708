"""Damaged checkpoints, manifests and lists: a few hundred rounds here, thousands where ``FRAMESIFT_ROUNDS`` says so."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from framesift.export.bundle.manifest import Manifest
from framesift.export.encoders.clip import ClipConfig
from framesift.export.systems.dong2026 import Dong2026, Dong2026Config
from framesift.serving.repository.render import reference_manifest

from .files import attack_checkpoints, attack_lists, attack_manifests, attack_pickles, every_form, peak_bytes

ROUNDS = int(os.environ.get("FRAMESIFT_ROUNDS", "200"))
SMALL = ClipConfig(
    embed_dim=32,
    image_size=16,
    patch=8,
    vision_width=64,
    vision_layers=1,
    text_width=64,
    text_layers=1,
    vocab_size=90,
    context_length=16,
)


@pytest.fixture(scope="module")
def wholes(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    torch.manual_seed(0)
    config = Dong2026Config(frames=3, top_k=2, temporal="positional", clip=SMALL)
    return every_form(Dong2026(config), tmp_path_factory.mktemp("whole"))


def test_damaged_checkpoints(wholes: list[Path], tmp_path: Path) -> None:
    before = peak_bytes()
    tally = attack_checkpoints(wholes, tmp_path, 2 * ROUNDS)
    assert tally.tried == 2 * ROUNDS
    assert tally.refused > ROUNDS
    assert peak_bytes() - before < 300 << 20


def test_damaged_pickles(wholes: list[Path], tmp_path: Path) -> None:
    before = peak_bytes()
    tally = attack_pickles(wholes[0], tmp_path, ROUNDS)
    assert tally.refused > ROUNDS // 2
    assert peak_bytes() - before < 300 << 20


def test_strange_manifests() -> None:
    tally = attack_manifests(sealed(), 2 * ROUNDS)
    assert tally.refused > ROUNDS


def test_strange_lists(tmp_path: Path) -> None:
    assert attack_lists(tmp_path, 2 * ROUNDS).refused > ROUNDS


def sealed() -> Manifest:
    """The reference manifest with the files that a bundle of it has."""
    names = ("video_encoder.onnx", "text_encoder.onnx", "scorer.onnx", "weights.safetensors", "merges.txt.gz")
    return replace(reference_manifest(), fingerprint="0" * 64, files=dict.fromkeys(names, "0" * 64))
