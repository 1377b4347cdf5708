"""Galleries on devices are ranked as the views say that are given, by all devices together, or by none that failed."""

from __future__ import annotations

from dataclasses import replace
from unittest import mock

import numpy as np
import pytest
import torch

from framesift.export.bundle.manifest import Manifest
from framesift.export.bundle.ports import FRAME_VECTORS, GRAM_TABLE, LOGIT_VECTOR, READOUT_VECTOR, TEXT_SCALARS
from framesift.kernels.cuda import library, share
from framesift.kernels.topk_attention import factorised
from framesift.kernels.topk_attention.layout import HeadShape, pack_tables
from framesift.kernels.topk_attention.reference import TopKAttention
from framesift.serving.search import device
from framesift.serving.search.device import DeviceRanker, on_devices
from framesift.serving.search.films import rank_videos
from framesift.serving.search.topk_ranking import TopKRanker
from framesift.serving.search.view import View

from .emulated_gpu import emulated

pytest.importorskip("triton")
SHAPE = HeadShape(5, 64, 2)
TEXT = (LOGIT_VECTOR, READOUT_VECTOR, TEXT_SCALARS)


class Case:
    """Texts, videos, and their scores and attention in float64."""

    def __init__(self, texts: int, videos: int) -> None:
        # Of some values two frames are as good as equal, and float32 keeps another one than float64.
        torch.manual_seed(texts * videos)
        folded = factorised.FactorisedHead(TopKAttention(64, top_k=2), 5)
        with torch.no_grad():
            text = [part.contiguous() for part in folded.encode_text(torch.randn(texts, 64))]
            frames, self.tables = folded.encode_video(torch.randn(videos, 5, 64))
        self.frames = frames.half()
        self.text = dict(zip(TEXT, (part.numpy() for part in text), strict=True))
        wide = (*(part.double() for part in text), self.frames.double(), self.tables.double())
        self.scores, self.attention = (part.numpy() for part in factorised.score(*wide, SHAPE))
        self.ids = [str(row) for row in range(videos)]

    def view(self, count: int, dead: tuple[int, ...] = ()) -> View:
        tensors = {FRAME_VECTORS: self.frames[:count].numpy(), GRAM_TABLE: pack_tables(self.tables[:count].numpy())}
        gone = np.array(dead, np.intp)
        return View(count, count - len(gone), self.ids, tensors, np.zeros((count, 5), np.float32), gone)


@pytest.mark.parametrize("devices", [1, 3])
def test_growing_galleries_with_removed_rows_rank_as_in_float64(topk_manifest: Manifest, devices: int) -> None:
    case = Case(3, 1500)
    with mock.patch.object(share, "STRIPE", 64):
        gallery, driver = emulated(SHAPE, devices)
        ranker = DeviceRanker(topk_manifest, TopKRanker(topk_manifest), gallery)
        for count in (1, 16, 37, 1390, 1500):
            dead = np.unique(np.random.default_rng(count).integers(0, count, count // 7))
            view = case.view(count, tuple(dead.tolist()))
            live = np.setdiff1d(np.arange(count), dead)
            for q, row in enumerate(ranker.rank(view, case.text, [4, 1000, 1])):
                best = live[np.argsort(-case.scores[q, live], kind="stable")[: (4, 1000, 1)[q]]]
                np.testing.assert_allclose(row.scores, case.scores[q, best], atol=2e-6)
                np.testing.assert_allclose(case.scores[q, row.rows], case.scores[q, best], atol=2e-6)
                assert not set(row.rows.tolist()) & set(dead.tolist())
                assert row.attention is not None
                np.testing.assert_allclose(row.attention, case.attention[q, row.rows], atol=1e-5)
            assert len(gallery) == count
    # Each device has its share, and no more than that.
    used = [driver.used(number) for number in range(devices)]
    assert max(used) < 1.6 * min(used)
    assert driver.launches.count("score_kernel") >= devices * 2


def test_films_that_are_cut_are_as_good_as_their_best_segment(topk_manifest: Manifest) -> None:
    case = Case(2, 60)
    gallery, driver = emulated(SHAPE, 2)
    ranker = DeviceRanker(topk_manifest, TopKRanker(topk_manifest), gallery)
    films = np.repeat(np.arange(20), 3)
    view = replace(
        case.view(60),
        ids=[str(film) for film in films],
        numbers=np.arange(60, dtype=np.int64),
        segments=np.tile(np.arange(3, dtype=np.int32), 20),
        counts=np.full(60, 3, np.int32),
    )
    for q, ranked in enumerate(rank_videos(ranker, view, case.text, [5, 5])):
        best = case.scores[q].reshape(20, 3)
        order = np.argsort(-best.max(1), kind="stable")[:5]
        assert films[ranked.rows].tolist() == order.tolist()
        assert (ranked.rows % 3).tolist() == best[order].argmax(1).tolist()
    assert "score_kernel" in driver.launches


def test_a_gallery_that_outgrows_a_device_is_searched_by_the_processor(
    topk_manifest: Manifest, caplog: pytest.LogCaptureFixture
) -> None:
    case = Case(2, 400)
    # 880 bytes a video and 256 of a search: room for 195 beside the 180 from which they are copied, not for 400.
    gallery, driver = emulated(SHAPE, 1, 500_000)
    ranker = DeviceRanker(topk_manifest, TopKRanker(topk_manifest), gallery)
    for count, holds in ((180, True), (195, True), (400, False), (400, False), (120, True)):
        before = len(driver.launches)
        for q, row in enumerate(ranker.rank(case.view(count), case.text, [3, 100])):
            best = np.argsort(-case.scores[q, :count], kind="stable")[: (3, 100)[q]]
            np.testing.assert_allclose(row.scores, case.scores[q, best], atol=2e-6)
        assert (len(gallery) == count) == holds == (len(driver.launches) > before)
    (told,) = caplog.messages
    assert told.startswith("the processor searches from now on: 400 videos and their searches take 0.0 GB of the GPU")


def test_a_device_that_fails_is_asked_no_more(topk_manifest: Manifest, caplog: pytest.LogCaptureFixture) -> None:
    case = Case(1, 40)
    gallery, driver = emulated(SHAPE)
    ranker = DeviceRanker(topk_manifest, TopKRanker(topk_manifest), gallery)
    wanted = ranker.rank(case.view(40), case.text, [5])[0]
    with mock.patch.object(driver, "launch_kernel", return_value=719):
        found = ranker.rank(case.view(40), case.text, [5])[0]
    launched = len(driver.launches)
    again = ranker.rank(case.view(40), case.text, [5])[0]
    for ranked in (found, again):
        assert ranked.rows.tolist() == wanted.rows.tolist()
    assert len(driver.launches) == launched
    (told,) = caplog.messages
    assert told.startswith("a GPU failed, and the processor searches until this model is loaded again: cuLaunchKernel")


@pytest.mark.skipif(library.installed() is not None, reason="there is a GPU")
def test_without_a_gpu_the_processor_searches_and_says_so(
    topk_manifest: Manifest, caplog: pytest.LogCaptureFixture
) -> None:
    processor = TopKRanker(topk_manifest)
    assert on_devices(topk_manifest, processor) is processor
    with mock.patch.object(device, "find_spec", return_value=None):
        assert on_devices(topk_manifest, processor) is processor
    assert [message.partition(":")[2].strip() for message in caplog.messages] == [
        "NVIDIA's driver shows no GPU to this process",
        "the GPU's kernels need triton (pip install 'framesift[gpu]')",
    ]
