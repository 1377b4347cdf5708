"""The parts of the GPU benchmarks that need no GPU: their data mean what they should, and without a device they end."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from framesift.__main__ import main
from framesift.bench.gpu import profiling
from framesift.bench.gpu.commands import SCORERS, STORAGES
from framesift.bench.gpu.contenders import BOUND, RECORDED
from framesift.bench.gpu.correctness import TOLERANCE, with_ties
from framesift.bench.gpu.encoding import BATCHES, advice, difference, inputs
from framesift.bench.gpu.floor import COMPONENT, stored, work
from framesift.bench.gpu.gallery import exact, gallery
from framesift.bench.gpu.pair_gallery import PairCase, pair_work
from framesift.bench.gpu.pair_scoring import TOLERANCE as PAIR_TOLERANCE
from framesift.bench.gpu.scoring import held_by
from framesift.bench.gpu.sizes import DRY, FULL
from framesift.bench.gpu.tiles import fastest, line
from framesift.bench.gpu.variants import taking, used, waiting
from framesift.bench.inputs.models import DEMO, system_of
from framesift.bench.schema.codec import decoded, encoded
from framesift.bench.schema.gpu import Built, GpuEncoding, GpuProfile, GpuScoring, GpuTile, TileSizes
from framesift.export.bundle.ports import TEXT_ENCODER, VIDEO_ENCODER
from framesift.kernels.device.tile import Tile, regime
from framesift.kernels.topk_attention import configs

CPU = torch.device("cpu")


@pytest.mark.parametrize(("storage", "tolerance"), [("float16", 2e-3), ("int8", 1e-2), ("float8_e4m3fn", 3e-2)])
def test_the_gallery_scores_as_the_published_formula(storage: str, tolerance: float) -> None:
    torch.manual_seed(0)
    case = gallery(21, storage, CPU, raw=10, step=16)
    text, u, w, tau = case.text(3)
    scores, clear = exact(case, u, w, tau, slice(0, 10))
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


def test_the_encoders_times_ask_for_a_line_of_the_configuration() -> None:
    def row(batch: int, case: str, p50_ms: float | None, graph: str = VIDEO_ENCODER) -> GpuEncoding:
        return GpuEncoding(model="demo", graph=graph, precision="fp32", batch=batch, case=case, p50_ms=p50_ms)

    compiled = "torch.compile, graphs"
    told = advice(
        [
            *(row(1, BOUND, 3.5), row(1, RECORDED, 1.7), row(1, compiled, 1.6)),
            *(row(8, BOUND, 3.9), row(8, RECORDED, 4.0), row(8, compiled, 4.2)),
            *(row(1, BOUND, 0.4, TEXT_ENCODER), row(1, RECORDED, None, TEXT_ENCODER)),
            replace(row(8, RECORDED, 0.1), precision="fp16"),
        ]
    )
    assert told == [
        "for serving/repository/config.py:\nRECORDED_BATCHES: Mapping[str, tuple[int, ...]] = {'video_encoder': (1,)}",
        "video_encoder, batch 1: torch.compile, graphs takes 1.600 ms, what can be served 1.700 ms",
    ]


def test_every_storage_and_regime_is_known() -> None:
    assert set(STORAGES) == set(COMPONENT) == set(TOLERANCE)
    for sizes in (FULL, DRY):
        assert set(sizes.counts) == {which for _, which in configs.TILES}
        assert all(regime(count) == which for which, counts in sizes.counts.items() for count in counts)
    assert {regime(count) for count in FULL.queries} == set(FULL.counts)


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


def test_a_variant_is_taken_while_it_is_measured_and_told_as_a_line_of_the_table() -> None:
    pytest.importorskip("triton")
    before = used(90, "float16", 256)
    assert before.tile.kernel == "portable"
    pingpong = waiting(90, "float16", 256)[0]
    with taking(pingpong):
        assert used(90, "float16", 64).tile == pingpong.tile
        assert used(90, "int8", 64).tile != pingpong.tile
    assert used(90, "float16", 256) == before
    table: dict[object, object] = {}
    exec(f"table.update({{{pingpong.line()}}})", {"table": table, "Tile": Tile})
    assert table == {(90, "many", "float16"): pingpong.tile}
    assert waiting(80, "float16", 256) == []
    assert str(pingpong).split()[:3] == ["float16", "256", "pingpong"]


@pytest.mark.parametrize("scorer", SCORERS)
def test_records_of_plain_vectors_are_those_that_the_scorer_reads(scorer: str) -> None:
    torch.manual_seed(0)
    case = PairCase.drawn(scorer, 37, CPU).with_ties()
    texts = case.texts(3)
    scores = case.formula(texts, 37, torch.float64)()
    assert scores.shape == (3, 37)
    torch.testing.assert_close(scores[:, 19:], scores[:, :18], rtol=1e-12, atol=0)
    narrow = case.formula(texts, 20, torch.float32)()
    torch.testing.assert_close(narrow.double(), scores[:, :20], rtol=1e-3, atol=1e-5)
    read = {"dot": (case.whole,), "frame_softmax": (case.frames, case.mask), "token_frame": (case.frames,)}
    held = sum(x.numel() * x.element_size() for x in read.get(scorer, (case.frames, case.whole)))
    assert pair_work(scorer, 1, 37).bytes == held + 4 * 37
    assert pair_work(scorer, 3, 37).operations == 3 * pair_work(scorer, 1, 37).operations
    assert set(PAIR_TOLERANCE) == set(SCORERS)


def test_without_nsight_compute_it_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (row,) = profiling.profile(1.0)
    assert profiling.line(row) == "0 no ncu here: not profiled"


def test_what_nsight_compute_prints_is_read() -> None:
    head = "==PROF== Connected\nsome words\n"
    table = '"ID","Kernel Name","Metric Name","Metric Unit","Metric Value"\n'
    rows = '"0","score_kernel","gpu__time_duration.sum","nsecond","1,234.5"\n"0","score_kernel","other","","n/a"\n'
    assert profiling.parsed(head + table + rows) == {"gpu__time_duration.sum": 1234.5}
    assert profiling.parsed("==ERROR== no permission") == {}
    row = GpuProfile(kernel="score_kernel", queries=1, videos=10, metrics=profiling.parsed(head + table + rows))
    assert decoded(GpuProfile, encoded(row), "a row") == row
    assert "gpu__time_duration 1234" in profiling.line(row)


def test_the_baseline_has_as_many_videos_as_fit() -> None:
    assert held_by("compiled", 1, 1_000_000, 16_384) == 1_000_000
    assert held_by("compiled", 256, 1_000_000, 16_384) == (8 << 30) // (144 * 256)
    # Beyond this a scaled time says nothing: the queries that are asked stay within it.
    assert 1_000_000 / held_by("compiled", 256, 1_000_000, 16_384) <= 16
    assert held_by("eager", 16, 1_000_000, 16_384) == 16_384


def test_rows_hold_what_was_built_and_old_rows_are_still_read() -> None:
    sizes = TileSizes(1, 64, 8, 64, 4, 7, "pingpong")
    row = GpuTile(
        storage="float16", queries=256, videos=200_000, tile=sizes, p50_ms=2.5, built=Built(sizes, 168, 0, 217_440)
    )
    assert decoded(GpuTile, encoded(row), "a row") == row
    assert "pingpong" in line(row)
    slower = GpuTile(
        storage="float16", queries=256, videos=200_000, tile=sizes, p50_ms=2.0, built=Built(sizes, 255, 8, 1)
    )
    broken = GpuTile(storage="float16", queries=256, videos=200_000, tile=sizes, failure="off by 1")
    assert fastest([slower, row, broken]) is row
    assert fastest([broken]) is None
    old = {"storage": "float16", "queries": 1, "videos": 10, "case": "kernel scores", "error": 1e-7, "scaled_by": 1.0}
    old |= {f"{name}_ms": 1.0 for name in ("p20", "p50", "p80", "floor")}
    assert decoded(GpuScoring, {**old, "copy_bytes_per_s": 1.0, "matrix_flop_per_s": 1.0}, "a row").built is None


def test_ties_are_the_same_videos_to_the_bit() -> None:
    case = with_ties(gallery(37, "int8", CPU, raw=1))
    assert torch.equal(case.frames[19:], case.frames[:18])
    assert torch.equal(case.tables(slice(19, 37)), case.tables(slice(0, 18)))


CHECKED = """
import torch
from framesift.bench.gpu.correctness import check, with_ties
from framesift.bench.gpu.gallery import gallery
from framesift.bench.gpu.pair_scoring import check_scorer
from framesift.bench.gpu.scoring import Asked
from framesift.bench.gpu.variants import Variant, taking
from framesift.export.bundle.errors import EngineError
from framesift.kernels.device.tile import Tile

torch.manual_seed(0)
case = with_ties(gallery(37, "float16", torch.device("cpu"), raw=21))
for queries in (1, 9):
    print("error", check(Asked.of(case, queries)) < 2e-3)
with taking(Variant(80, "float16", 1, Tile(2, 8, 16, 64, 4, 3, "bulk"))):
    print("error", check(Asked.of(case, 1)) < 2e-3)
for scorer in ("dot", "token_frame"):
    print("error", check_scorer(scorer, torch.device("cpu"), 21, (1, 3)) < 1e-3)
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
    assert lines[:5] == ["error True"] * 5
    assert lines[5].startswith("float16, 1 queries: scores are off by ")


@pytest.mark.skipif(torch.cuda.is_available(), reason="would measure")
@pytest.mark.parametrize("command", ["all", "scoring", "tiles", "pairs", "served", "profile", "encoding"])
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
