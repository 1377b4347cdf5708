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
from framesift.bench.gpu.commands import STORAGES, parts_of
from framesift.bench.gpu.correctness import QUERIES, TOLERANCE, with_ties
from framesift.bench.gpu.encoding import BATCHES, difference, inputs
from framesift.bench.gpu.floor import COMPONENT, stored, work
from framesift.bench.gpu.gallery import exact, gallery
from framesift.bench.gpu.schedule import Part, run_parts
from framesift.bench.gpu.scoring import held_by
from framesift.bench.gpu.tiles import fastest, line
from framesift.bench.gpu.variants import taking, used, waiting
from framesift.bench.inputs.models import DEMO, system_of
from framesift.bench.schema.codec import decoded, encoded
from framesift.bench.schema.gpu import Built, GpuScoring, GpuTile, TileSizes
from framesift.export.bundle.ports import TEXT_ENCODER, VIDEO_ENCODER
from framesift.kernels.topk_attention import configs

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
    assert set(QUERIES) == {regime for _, regime in configs.TILES}
    assert all(configs.regime(count) == regime for regime, counts in QUERIES.items() for count in counts)


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


def test_the_parts_of_a_run_fit_into_nine_minutes_with_what_matters_first() -> None:
    parts = parts_of(None, 12, Path("work"))
    assert sum(part.seconds for part in parts) <= 540
    names = [part.name for part in parts]
    assert names.index("kernels and candidates, 200,000 videos") < names.index("a million videos")
    assert names.index("a million videos") < names.index("max-autotune") < names.index("encoders")
    done = CliRunner().invoke(main, ["bench", "gpu", "all", "--plan"])
    assert done.exit_code == 0
    assert [line.partition(" s  ")[2] for line in done.output.splitlines()] == names


def test_what_no_longer_fits_is_left_out_and_an_error_ends_its_part_alone() -> None:
    now, ran, told = [0.0], [], []

    def part(name: str, seconds: float, takes: float, *, fails: bool = False, needed: bool = False) -> Part:
        def run(left: float) -> None:
            now[0] += takes
            ran.append((name, left))
            if fails:
                raise RuntimeError(f"{name} fell")

        return Part(name, seconds, run, needed)

    parts = [part("a", 10, 30), part("b", 10, 40, fails=True), part("long", 60, 60), part("short", 20, 20)]
    assert run_parts(parts, 100, told.append, lambda: now[0]) == ["b", "long"]
    assert ran == [("a", 100), ("b", 70), ("short", 30)]
    assert "b ended: RuntimeError: b fell" in told
    now[0] = 0.0
    with pytest.raises(RuntimeError, match="ceilings fell"):
        run_parts([part("ceilings", 1, 1, fails=True, needed=True)], 100, told.append, lambda: now[0])


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
    exec(f"table.update({{{pingpong.line()}}})", {"table": table, "Tile": configs.Tile})
    assert table == {(90, "many", "float16"): pingpong.tile}
    assert waiting(80, "float16", 256) == []
    assert str(pingpong).split()[:3] == ["float16", "256", "pingpong"]


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
    assert torch.equal(case.tables(37)[19:], case.tables(37)[:18])


CHECKED = """
import torch
from framesift.bench.gpu.correctness import check, with_ties
from framesift.bench.gpu.gallery import gallery
from framesift.bench.gpu.scoring import Asked
from framesift.bench.gpu.variants import Variant, taking
from framesift.export.bundle.errors import EngineError
from framesift.kernels.topk_attention.configs import Tile

torch.manual_seed(0)
case = with_ties(gallery(37, "float16", torch.device("cpu"), raw=21))
for queries in (1, 9):
    print("error", check(Asked.of(case, queries)) < 2e-3)
with taking(Variant(80, "float16", 1, Tile(2, 8, 16, 64, 4, 3, "bulk"))):
    print("error", check(Asked.of(case, 1)) < 2e-3)
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
    assert lines[:3] == ["error True"] * 3
    assert lines[3].startswith("float16, 1 queries: scores are off by ")


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
