"""A gallery copied to a device is ranked as the views say that are given: on the GPU of this machine, if any."""

from __future__ import annotations

import numpy as np
import torch

from framesift.export.bundle.manifest import Manifest
from framesift.export.bundle.ports import FRAME_VECTORS, GRAM_TABLE, LOGIT_VECTOR, READOUT_VECTOR, TEXT_SCALARS
from framesift.kernels.topk_attention import factorised
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
