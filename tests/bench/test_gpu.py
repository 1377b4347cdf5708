"""The parts of the GPU benchmarks that need no GPU: their data mean what they should, and without a device they end."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from framesift.__main__ import main
from framesift.bench.gpu.commands import STORAGES
from framesift.bench.gpu.encoding import BATCHES, difference, inputs
from framesift.bench.gpu.floor import COMPONENT, stored, work
from framesift.bench.gpu.gallery import exact, gallery
from framesift.bench.gpu.scoring import TOLERANCE
from framesift.bench.gpu.tiles import CANDIDATES
from framesift.bench.inputs.models import DEMO, system_of
from framesift.export.bundle.ports import TEXT_ENCODER, VIDEO_ENCODER
from framesift.kernels.topk_attention.configs import TILES

CPU = torch.device("cpu")


@pytest.mark.parametrize(("storage", "tolerance"), [("float16", 2e-3), ("int8", 1e-2), ("float8_e4m3fn", 3e-2)])
def test_the_gallery_scores_as_the_published_formula(storage: str, tolerance: float) -> None:
    torch.manual_seed(0)
    case = gallery(21, storage, CPU, raw=10, step=16)
    text, u, w, tau = case.text(3)
    scores, clear = exact(case, u, w, tau, 10)
    published, _ = case.head(text, case.raw)
    assert clear.any()
    torch.testing.assert_close(scores[clear].float(), published[clear].detach(), rtol=0, atol=tolerance)


@pytest.mark.parametrize("storage", COMPONENT)
def test_the_floor_reads_what_is_stored(storage: str) -> None:
    case = gallery(21, storage, CPU, raw=1)
    held = sum(x.numel() * x.element_size() for x in (case.frames, case.table, case.mean) if x is not None)
    assert stored(21, storage) == held


def test_the_floor_is_memory_for_one_query_and_arithmetic_for_many() -> None:
    table = 16 * 12 * 512 * 2 + 270 * 16 * 4
    assert work(1, 16, "float16").least_s(1e9, 1e15) == pytest.approx(1e-9 * (table + 4 * (1024 + 16)))
    assert work(256, 16, "float16").least_s(1e15, 1e9) == pytest.approx(1e-9 * 24576 * 256 * 16)


def test_every_storage_and_regime_is_known() -> None:
    assert set(STORAGES) == set(COMPONENT) == set(TOLERANCE)
    assert set(CANDIDATES) == {regime for _, regime in TILES}


def test_encoders_are_given_what_they_read_and_judged_by_their_worst_tensor() -> None:
    system = system_of(DEMO)
    pixels = inputs(system, VIDEO_ENCODER, 2, CPU)
    with torch.no_grad():
        record = system.encode_video(pixels)
        assert system.encode_text(inputs(system, TEXT_ENCODER, 3, CPU))[0].shape[0] == 3
    assert set(BATCHES) == {VIDEO_ENCODER, TEXT_ENCODER}
    assert difference(record, [x.double() for x in record]) == 0
    assert difference([*record[:-1], 1.5 * record[-1]], record) == pytest.approx(0.5)
    assert difference([record[0], record[1], record[2][:1]], record) == float("inf")
    assert difference([record[0] * float("nan"), *record[1:]], record) == float("inf")


CHECKED = """
import torch
from framesift.bench.gpu.gallery import gallery
from framesift.bench.gpu.scoring import Asked, check
from framesift.export.bundle.errors import EngineError

torch.manual_seed(0)
case = gallery(21, "float16", torch.device("cpu"), raw=21)
for queries in (1, 17):
    print("error", check(Asked.of(case, queries)) < 2e-3)
# The kernel is given other tables than the gallery has.
asked = Asked.of(case, 1)
try:
    check(Asked(case, asked.text, (*asked.inputs[:4], 1.5 * case.table, None)))
except EngineError as error:
    print(error)
"""


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="the kernels run on the device")
def test_the_kernel_is_checked_against_float64() -> None:
    pytest.importorskip("triton")
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    done = subprocess.run([sys.executable, "-c", CHECKED], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[:2] == ["error True"] * 2
    assert lines[2].startswith("float16, 1 queries: scores are off by ")


@pytest.mark.skipif(torch.cuda.is_available(), reason="would measure")
@pytest.mark.parametrize("command", ["all", "scoring", "tiles", "encoding"])
def test_without_a_device_it_says_so(command: str, tmp_path: Path) -> None:
    results = tmp_path / "results"
    done = CliRunner().invoke(main, ["bench", "gpu", command, "--results", str(results)])
    assert done.exit_code == 1
    assert done.output == "Error: no CUDA device: nothing to measure\n"
    assert not results.exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["all", "--budget", "soon"], "'soon' is no time: give it as 90s, 9m or 1h"),
        (["scoring", "--storage", "float64"], "float64: it must be some of float16, bfloat16, int8, float8_e4m3fn"),
        (["scoring", "--queries", "0"], "every number must be at least 1"),
        (["tiles", "--queries", "one"], "give whole numbers with commas between them"),
        (["encoding", "--model", "mine"], "mine: it must be some of demo, vit-b32"),
    ],
)
def test_wrong_options_are_told(arguments: list[str], said: str) -> None:
    done = CliRunner().invoke(main, ["bench", "gpu", *arguments])
    assert done.exit_code == 2
    assert said in " ".join(done.output.split())
