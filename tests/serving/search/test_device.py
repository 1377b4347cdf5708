"""A gallery copied to a device is ranked as the views say that are given: on the GPU of this machine, if any."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from framesift.export.bundle.manifest import Manifest
from framesift.export.bundle.ports import FRAME_VECTORS, GRAM_TABLE, LOGIT_VECTOR, READOUT_VECTOR, TEXT_SCALARS
from framesift.kernels.topk_attention import factorised
from framesift.kernels.topk_attention.device_memory import gallery_bytes, search_bytes
from framesift.kernels.topk_attention.layout import HeadShape, pack_tables
from framesift.kernels.topk_attention.reference import TopKAttention
from framesift.kernels.topk_attention.resident import ResidentGallery
from framesift.serving.search.device import DeviceRanker
from framesift.serving.search.view import View

SHAPE = HeadShape(5, 64, 2)
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def test_growing_galleries_with_removed_rows_rank_as_in_float64(topk_manifest: Manifest) -> None:
    folded = factorised.FactorisedHead(TopKAttention(64, top_k=2), 5)
    with torch.no_grad():
        text = [part.contiguous() for part in folded.encode_text(torch.randn(3, 64))]
        frames, tables = folded.encode_video(torch.randn(5000, 5, 64))
    frames = frames.half()
    given = dict(zip((LOGIT_VECTOR, READOUT_VECTOR, TEXT_SCALARS), (part.numpy() for part in text), strict=True))
    want, attention = factorised.score(*(part.double() for part in text), frames.double(), tables.double(), SHAPE)
    ids = [str(row) for row in range(len(frames))]
    ranker = DeviceRanker(topk_manifest, ResidentGallery(DEVICE))
    for count in (1, 16, 37, 4900, 5000):
        dead = np.unique(np.random.default_rng().integers(0, count, count // 7)).astype(np.intp)
        tensors = {FRAME_VECTORS: frames[:count].numpy(), GRAM_TABLE: pack_tables(tables[:count].numpy())}
        times = np.zeros((count, 5), np.float32)
        live = np.setdiff1d(np.arange(count), dead)
        ranked = ranker.rank(View(count, len(live), ids, tensors, times, dead), given, [4, 1000, 1])
        for q, row in enumerate(ranked):
            best = live[np.argsort(-want[q, live].numpy(), kind="stable")[: (4, 1000, 1)[q]]]
            np.testing.assert_allclose(row.scores, want[q, best], atol=2e-6)
            np.testing.assert_allclose(want[q, row.rows], want[q, best], atol=2e-6)
            assert len(set(row.rows.tolist()) & set(dead.tolist())) == 0
            assert row.attention is not None
            np.testing.assert_allclose(row.attention, attention[q, row.rows], atol=1e-5)


def test_a_gallery_that_outgrows_the_device_is_searched_by_the_processor(
    topk_manifest: Manifest, caplog: pytest.LogCaptureFixture
) -> None:
    folded = factorised.FactorisedHead(TopKAttention(64, top_k=2), 5)
    with torch.no_grad():
        text = [part.contiguous() for part in folded.encode_text(torch.randn(2, 64))]
        frames, tables = folded.encode_video(torch.randn(40, 5, 64))
    frames = frames.half()
    given = dict(zip((LOGIT_VECTOR, READOUT_VECTOR, TEXT_SCALARS), (part.numpy() for part in text), strict=True))
    want, _ = factorised.score(*(part.double() for part in text), frames.double(), tables.double(), SHAPE)
    rows = pack_tables(tables.numpy()).shape[1]
    # Free is what 20 videos take with their searches.
    free = gallery_bytes(20, (1, 5, 64), rows, 2) + search_bytes(20)
    resident = ResidentGallery(DEVICE, lambda: free)
    ranker = DeviceRanker(topk_manifest, resident)
    ids = [str(row) for row in range(40)]
    for count, holds in ((18, True), (20, True), (40, False), (40, False), (12, True)):
        tensors = {FRAME_VECTORS: frames[:count].numpy(), GRAM_TABLE: pack_tables(tables[:count].numpy())}
        view = View(count, count, ids, tensors, np.zeros((count, 5), np.float32), np.empty(0, np.intp))
        for q, row in enumerate(ranker.rank(view, given, [3, 40])):
            best = np.argsort(-want[q, :count].numpy(), kind="stable")[: (3, 40)[q]]
            np.testing.assert_allclose(row.scores, want[q, best], atol=2e-6)
        assert (len(resident) == count) == holds
    assert [record.message for record in caplog.records] == [
        f"the processor searches from now on: 40 videos and their searches take 0.0 GB of the GPU, "
        f"{free / 1e9:.1f} GB are free"
    ]
