"""Both rankers of the top-K attention scorer over a real gallery that grows, shrinks and is swept."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
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
from framesift.kernels.topk_attention import factorised
from framesift.kernels.topk_attention.layout import HeadShape
from framesift.serving.gallery.rows import GalleryEntry
from framesift.serving.gallery.store import Gallery
from framesift.serving.search.device import DeviceRanker
from framesift.serving.search.snapshot import Snapshot
from framesift.serving.search.topk_ranking import TopKRanker

SHAPE = HeadShape(5, 64, 2)
TEXT = (LOGIT_VECTOR, READOUT_VECTOR, TEXT_SCALARS)


@pytest.fixture(params=["cpu", "device"])
def make_ranker(request: pytest.FixtureRequest) -> Callable[[Manifest], TopKRanker]:
    if request.param == "cpu":
        return TopKRanker
    pytest.importorskip("triton")
    from .emulated_gpu import emulated

    return lambda manifest: DeviceRanker(manifest, TopKRanker(manifest), emulated(SHAPE, 2)[0])


def entry(number: int) -> GalleryEntry:
    from framesift.kernels.topk_attention.reference import TopKAttention

    torch.manual_seed(0)
    folded = factorised.FactorisedHead(TopKAttention(64, top_k=2), 5)
    generator = torch.Generator().manual_seed(number)
    with torch.no_grad():
        vectors, tables = folded.encode_video(torch.randn(1, 5, 64, generator=generator))
    tensors = {
        FRAME_VECTORS: vectors[0].numpy(),
        GRAM_TABLE: tables[0].numpy(),
        MEAN_EMBEDDING: np.full(64, 0.125, np.float32),
    }
    digest = hashlib.sha256(str(number).encode()).digest()
    return GalleryEntry(f"v{number}", tensors, np.arange(5, dtype=np.float32), 5.0, digest)


def test_rankings_follow_the_gallery(
    make_ranker: Callable[[Manifest], TopKRanker], topk_manifest: Manifest, folder: Path
) -> None:
    from framesift.kernels.topk_attention.reference import TopKAttention

    torch.manual_seed(0)
    folded = factorised.FactorisedHead(TopKAttention(64, top_k=2), 5)
    with torch.no_grad():
        text = folded.encode_text(torch.randn(3, 64))
    given = {name: part.contiguous().numpy() for name, part in zip(TEXT, text, strict=True)}
    gallery = Gallery.open(folder, topk_manifest)
    ranker = make_ranker(topk_manifest)
    snapshot = Snapshot(gallery.reader(), [FRAME_VECTORS, GRAM_TABLE], scorer_of(topk_manifest).lanes)
    present: dict[str, GalleryEntry] = {}

    def agree() -> None:
        snapshot.refresh()
        view = snapshot.view
        assert view.tensors[GRAM_TABLE].dtype == np.float32
        assert view.count == len(present)
        ranked = ranker.rank(view, given, [4, 1000, 1])
        assert [len(row.rows) for row in ranked] == [min(n, len(present)) for n in (4, 1000, 1)]
        if not present:
            return
        names = list(present)
        frames = np.stack([present[n].tensors[FRAME_VECTORS].astype(np.float16).astype(np.float32) for n in names])
        tables = np.stack([present[n].tensors[GRAM_TABLE] for n in names])
        want, attention = factorised.score(
            *(part.double() for part in text),
            torch.from_numpy(frames).double(),
            torch.from_numpy(tables).double(),
            SHAPE,
        )
        place = {name: number for number, name in enumerate(names)}

        def are_best(q: int, found: list[int], of: list[int]) -> None:
            assert len(set(found)) == len(found)
            assert set(found) <= set(of)
            # Two scores here lie nearer to one another than float32 tells apart on every processor.
            best = torch.sort(want[q, of], descending=True).values[: len(found)]
            np.testing.assert_allclose(want[q, found], best, atol=2e-6)

        for q, row in enumerate(ranked):
            found = [place[view.ids[i]] for i in row.rows]
            are_best(q, found, list(range(len(names))))
            np.testing.assert_allclose(row.scores, want[q, found], atol=2e-6)
            np.testing.assert_allclose(row.attention, attention[q, found], atol=1e-5)

        # Of the videos that a search names the order is the same.
        named = list(range(0, len(names), 3))
        part = snapshot.only(view, sorted(names[number] for number in named))
        for q, row in enumerate(ranker.rank(part, given, [1000] * 3)):
            assert len(row.rows) == len(named)
            are_best(q, [place[part.ids[i]] for i in row.rows], named)

    def add(*numbers: int) -> None:
        made = [entry(n) for n in numbers]
        gallery.add(made)
        for one in made:
            present.pop(one.id, None)
            present[one.id] = one

    def remove(*numbers: int) -> None:
        gallery.remove([f"v{n}" for n in numbers])
        for n in numbers:
            del present[f"v{n}"]

    agree()
    add(0)
    agree()
    add(*range(1, 15))
    agree()
    add(15, 16, 17)
    remove(0, 7, 16)
    agree()
    add(*range(100, 500))
    agree()
    # So many that removed rows are swept out and the others take new places.
    remove(*range(100, 400))
    agree()
    add(700)
    agree()


def test_a_record_that_was_made_to_rank_first_is_left_out(
    make_ranker: Callable[[Manifest], TopKRanker],
    topk_manifest: Manifest,
    folder: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    from framesift.kernels.topk_attention.reference import TopKAttention

    torch.manual_seed(0)
    folded = factorised.FactorisedHead(TopKAttention(64, top_k=2), 5)
    with torch.no_grad():
        text = folded.encode_text(torch.randn(3, 64))
    given = {name: part.contiguous().numpy() for name, part in zip(TEXT, text, strict=True)}
    made = [entry(number) for number in range(40)]
    for number, factor in ((3, -1.0), (17, 1e-6)):
        forged = made[number].tensors[GRAM_TABLE] * np.float32(factor)
        made[number] = replace(made[number], tensors={**made[number].tensors, GRAM_TABLE: forged})
    with Gallery.open(folder, topk_manifest) as gallery:
        gallery.add(made)
        ranker = make_ranker(topk_manifest)
        view = Snapshot(gallery.reader(), [FRAME_VECTORS, GRAM_TABLE], scorer_of(topk_manifest).lanes).view
        for _ in range(2):
            for row in ranker.rank(view, given, [5, 1000, 1]):
                assert np.abs(row.scores).max() <= 1
                assert not {"v3", "v17"} & {view.ids[place] for place in row.rows}
        assert len(ranker.rank(view, given, [1000])[0].rows) == 38
    assert sorted(message.split("'")[1] for message in caplog.messages) == ["v17", "v3"]


def test_every_frame_is_kept_where_the_model_names_no_k(
    make_ranker: Callable[[Manifest], TopKRanker], topk_manifest: Manifest
) -> None:
    assert make_ranker(topk_manifest).shape == SHAPE
    assert make_ranker(replace(topk_manifest, options={"heads": 1})).shape == HeadShape(5, 64, 5)


def test_a_manifest_without_heads_is_refused(topk_manifest: Manifest) -> None:
    with pytest.raises(BundleError, match="how many heads the attention has: export the model again"):
        TopKRanker(replace(topk_manifest, options={"top_k": 2}))
