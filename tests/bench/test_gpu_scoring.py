"""The parts of the GPU benchmark that need no GPU: its data mean what they should, and without a device it ends."""

from __future__ import annotations

import pytest
import torch

from framesift.bench import bench_gpu_scoring as bench
from framesift.bench.scorer_work import COMPONENT, stored, work


@pytest.mark.parametrize(("storage", "tolerance"), [("float16", 2e-3), ("int8", 1e-2), ("float8_e4m3fn", 3e-2)])
def test_the_gallery_scores_as_the_published_formula(storage: str, tolerance: float) -> None:
    torch.manual_seed(0)
    case = bench.gallery(21, storage, torch.device("cpu"), raw=10, step=16)
    text, u, w, tau = case.text(3)
    scores, clear = bench.exact(case, u, w, tau, 10)
    published, _ = case.head(text, case.raw)
    assert clear.any()
    torch.testing.assert_close(scores[clear].float(), published[clear].detach(), rtol=0, atol=tolerance)


@pytest.mark.parametrize("storage", COMPONENT)
def test_the_floor_reads_what_is_stored(storage: str) -> None:
    case = bench.gallery(21, storage, torch.device("cpu"), raw=1)
    held = sum(x.numel() * x.element_size() for x in (case.frames, case.table, case.mean) if x is not None)
    assert stored(21, storage) == held


def test_the_floor_is_memory_for_one_query_and_arithmetic_for_many() -> None:
    table = 16 * 12 * 512 * 2 + 270 * 16 * 4
    assert work(1, 16, "float16").least_s(1e9, 1e15) == pytest.approx(1e-9 * (table + 4 * (1024 + 16)))
    assert work(256, 16, "float16").least_s(1e15, 1e9) == pytest.approx(1e-9 * 24576 * 256 * 16)


@pytest.mark.skipif(torch.cuda.is_available(), reason="would measure")
def test_without_a_device_it_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.main([]) == 0
    assert capsys.readouterr().out == "no CUDA device: nothing to measure\n"
