"""int8 storage over a real gallery that grows, shrinks and is swept: what float16 finds, to the bit."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from framesift.export.bundle.errors import BundleError
from framesift.export.bundle.manifest import Manifest
from framesift.export.bundle.ports import (
    FRAME_VECTORS,
    GRAM_TABLE,
    LOGIT_VECTOR,
    MEAN_EMBEDDING,
    READOUT_VECTOR,
    TEXT_SCALARS,
)
from framesift.export.bundle.scorers import scorer_of
from framesift.export.bundle.storages import BIASES, storage_of, stored
from framesift.kernels import library
from framesift.kernels.topk_attention.factorised import FactorisedHead
from framesift.kernels.topk_attention.reference import TopKAttention
from framesift.serving.gallery.rows import GalleryEntry
from framesift.serving.gallery.store import CACHE, Gallery
from framesift.serving.search import loading
from framesift.serving.search.certified_ranking import SIDE, STEPS, CertifiedRanker, derived_of
from framesift.serving.search.ranking import Ranked
from framesift.serving.search.snapshot import Snapshot
from framesift.serving.search.topk_ranking import TopKRanker

TEXT = (LOGIT_VECTOR, READOUT_VECTOR, TEXT_SCALARS)
READ = [FRAME_VECTORS, GRAM_TABLE]


def head() -> FactorisedHead:
    torch.manual_seed(0)
    made = TopKAttention(64, top_k=2)
    for parameter in made.parameters():
        parameter.data += 0.02 * torch.randn_like(parameter)
    return FactorisedHead(made, 5)


@torch.no_grad()
def entries(numbers: list[int], seed: int = 0) -> list[GalleryEntry]:
    folded = head()
    made = []
    for number in numbers:
        values = torch.Generator().manual_seed(1000 * seed + number)
        vectors, tables = folded.encode_video(
            torch.randn(1, 1, 64, generator=values) + 0.3 * torch.randn(1, 5, 64, generator=values)
        )
        tensors = {
            FRAME_VECTORS: vectors[0].numpy(),
            GRAM_TABLE: tables[0].numpy(),
            MEAN_EMBEDDING: np.full(64, 0.125, np.float32),
        }
        digest = hashlib.sha256(f"{number} {seed}".encode()).digest()
        made.append(GalleryEntry(f"v{number}", tensors, np.arange(5, dtype=np.float32), 5.0, digest))
    return made


@pytest.fixture
def served(topk_manifest: Manifest) -> Manifest:
    biases = [float(value) for value in head().biases]
    return stored(replace(topk_manifest, options={**topk_manifest.options, BIASES: biases}), "int8")


def same(found: list[Ranked], wanted: list[Ranked]) -> None:
    for got, want in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(got.rows, want.rows)
        np.testing.assert_array_equal(got.scores, want.scores)
        np.testing.assert_array_equal(got.attention, want.attention)
        assert want.rescored is None
        assert got.rescored is not None


@pytest.mark.parametrize("cached", [False, True])
def test_it_finds_what_float16_finds_as_the_gallery_changes(
    served: Manifest, folder: Path, cached: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "CACHED_BYTES", 1 if cached else 1 << 40)
    with torch.no_grad():
        text = dict(zip(TEXT, (part.numpy() for part in head().encode_text(torch.randn(3, 64))), strict=True))
    text = {name: np.ascontiguousarray(values) for name, values in text.items()}
    gallery = Gallery.open(folder, served)
    exact, certified = TopKRanker(served), CertifiedRanker(served)
    lanes = scorer_of(served).lanes

    def opened() -> Snapshot:
        return Snapshot(gallery.reader(), READ, lanes, cache=gallery.root / CACHE, derived=derived_of(served))

    snapshot = opened()
    scored: list[int] = []

    def agree(snapshot: Snapshot) -> None:
        snapshot.refresh()
        view = snapshot.view
        assert view.tensors[STEPS].shape == (len(view.timestamps), 6, 64)
        assert view.tensors[SIDE].dtype == np.float32
        for tops in ([4, 1, 3], [1000, 2, 1], [1] * 3):
            found = certified.rank(view, text, tops)
            same(found, exact.rank(view, text, tops))
            scored.extend(row.rescored or 0 for row in found)
        if view.count:
            names = snapshot.only(view, [view.ids[row] for row in view.rows()[::3].tolist()])
            same(certified.rank(names, text, [4] * 3), exact.rank(names, text, [4] * 3))

    agree(snapshot)
    gallery.add(entries(list(range(300))))
    agree(snapshot)
    gallery.remove([f"v{n}" for n in range(0, 90, 3)])
    gallery.add(entries(list(range(1, 90, 3)), seed=1))
    agree(snapshot)
    # The same video under many ids: their scores tie.
    one = entries([7])[0]
    gallery.add([replace(one, id=f"copy{n}", digest=hashlib.sha256(bytes([n])).digest()) for n in range(40)])
    agree(snapshot)
    gallery.remove([f"v{n}" for n in range(90, 299)])
    agree(snapshot)
    agree(opened())
    assert min(scored) < 100, "nothing was left out, so nothing was proved"


def test_a_machine_without_the_compiled_scorer_is_refused(served: Manifest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "LIBRARIES", ())
    with pytest.raises(BundleError, match="int8 storage needs the compiled scorer"):
        derived_of(served)


def test_a_storage_that_the_model_cannot_have_is_refused(topk_manifest: Manifest, manifest: Manifest) -> None:
    assert storage_of(topk_manifest) == "float16"
    with pytest.raises(BundleError, match="does not tell the biases that int8 storage needs"):
        stored(topk_manifest, "int8")
    for values in (["a"] * 4, [1, 2, 3], [-1.0, 0, 0, 0], [1e9, 0, 0, 0], [0, 0, 0, 1.0], {"a": 1}):
        with pytest.raises(BundleError, match="export the model again, or serve it with float16"):
            stored(replace(topk_manifest, options={**topk_manifest.options, BIASES: values}), "int8")
    with pytest.raises(BundleError, match="one head"):
        stored(replace(topk_manifest, options={**topk_manifest.options, "heads": 2, BIASES: [0.0] * 4}), "int8")
    with pytest.raises(BundleError, match="serves attention over frames"):
        stored(manifest, "int8")
    with pytest.raises(BundleError, match="must be float16 or int8"):
        storage_of(replace(topk_manifest, options={"storage": "int4"}))
