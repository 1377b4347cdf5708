"""Whole runs of the GPU benchmarks, as far as no GPU is needed: parts that fail alone, choices, and a dry run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from framesift.__main__ import main
from framesift.bench.gpu.apart import Outcome, apart
from framesift.bench.gpu.figures import figures
from framesift.bench.gpu.parts import MEASURED
from framesift.bench.gpu.run import choose
from framesift.bench.gpu.schedule import Part, run_parts
from framesift.bench.gpu.sizes import FULL
from framesift.bench.gpu.tiles import unmeasured
from framesift.bench.gpu.told import Told
from framesift.bench.gpu.variants import Variant, used, waiting
from framesift.bench.gpu.whole import plan_of
from framesift.bench.schema.files import write
from framesift.bench.schema.gpu import Built, GpuScoring, GpuTile

from ..waiting import until


def test_the_parts_of_a_run_fit_into_nine_minutes_with_what_matters_first() -> None:
    parts = plan_of()
    assert sum(part.seconds for part in parts) <= 540
    assert all(part.most > part.seconds for part in MEASURED)
    names = [part.name for part in parts]
    wanted = ["compile and export", "ceilings", "a million videos", "served search", "encoders", "max-autotune"]
    assert names[:7] == [*wanted, "kernels and candidates"]
    assert len(set(names)) == len(names) == len(MEASURED) + 2
    done = CliRunner().invoke(main, ["bench", "gpu", "all", "--plan"])
    assert done.exit_code == 0
    assert [line.partition(" s  ")[2] for line in done.output.splitlines()] == names


def test_what_fails_in_a_process_of_its_own_fails_alone() -> None:
    found = dict(apart(divmod, [(7, 2), (1, 0)], 600.0, together=2))
    assert found[7, 2] == Outcome((3, 1))
    assert found[1, 0].failure.startswith("ZeroDivisionError: ")
    (crashed,) = apart(os._exit, [(3,)], 600.0)
    assert crashed == ((3,), Outcome(None, "its process ended with 3"))
    (aborted,) = apart(os.abort, [()], 600.0)
    assert aborted[1].failure == "its process ended with -6"


def test_what_hangs_is_killed_with_all_that_it_started_and_the_rest_goes_on(tmp_path: Path) -> None:
    list(apart(abs, [(1,)], 600.0))
    child = "import pathlib, subprocess, sys, time; one = subprocess.Popen(['sleep', '600']); "
    child += f"pathlib.Path({str(tmp_path)!r}, 'pid').write_text(str(one.pid)); time.sleep(600)"
    hung, fine = apart(exec, [(child,), ("pass",)], 600.0, each=10.0)
    assert hung[1].late
    assert hung[1].failure.startswith("killed after ")
    assert fine[1] == Outcome(None)
    state = Path("/proc", (tmp_path / "pid").read_text(), "stat")

    def ended() -> bool:
        try:
            return state.read_text().split()[2] == "Z"
        except OSError:
            return True

    # Whoever is killed ends when it is its turn.
    until(ended)
    ((_, never),) = apart(abs, [(1,)], 0.0)
    assert (never.late, never.failure) == (True, "not begun within 0 s")


def test_what_no_longer_fits_is_left_out_and_an_error_ends_its_part_alone() -> None:
    now, ran, told = [0.0], [], []

    def part(name: str, seconds: float, takes: float, *, fails: bool = False) -> Part:
        def run(left: float) -> None:
            now[0] += takes
            ran.append((name, left))
            if fails:
                raise RuntimeError(f"{name} fell")

        return Part(name, seconds, run)

    parts = [part("a", 10, 30), part("b", 10, 40, fails=True), part("long", 60, 60), part("short", 20, 20)]
    assert run_parts(parts, 100, told.append, lambda: now[0]) == ["b", "long"]
    assert ran == [("a", 100), ("b", 70), ("short", 30)]
    assert "b ended: RuntimeError: b fell" in told


def test_a_candidate_is_chosen_where_it_is_faster_than_what_is_used() -> None:
    pytest.importorskip("triton")
    plain, ring, *_ = used(90, "float16", 256), *waiting(90, "float16", 256)

    def timed(variant: Variant, p50_ms: float, spills: int = 0) -> tuple[Variant, GpuTile]:
        row = unmeasured(variant, 1000, "")
        return variant, replace(row, p50_ms=p50_ms, built=Built(variant.sizes, 100, spills, 0))

    for rows in (
        [timed(plain, 1.0), timed(ring, 2.0)],
        [timed(plain, 2.0), timed(ring, 1.0, spills=8)],
        [(plain, unmeasured(plain, 1000, "killed after 25 s")), timed(ring, 1.0)],
    ):
        told = Told()
        assert choose(rows, told) == []
        assert told.chosen == {}
    told = Told()
    (text,) = choose([timed(plain, 2.0), timed(ring, 1.0)], told)
    assert told.chosen == {("float16", 256): ring}
    assert ring.line() in text


def test_the_figures_say_what_is_missing(tmp_path: Path) -> None:
    def row(case: str, p50_ms: float, storage: str = "float16") -> GpuScoring:
        return GpuScoring(
            case=case,
            storage=storage,
            queries=1,
            videos=FULL.videos,
            p20_ms=p50_ms,
            p50_ms=p50_ms,
            p80_ms=p50_ms,
            floor_ms=3.0,
            scaled_by=1.0,
            error=0.0,
            copy_bytes_per_s=1.0,
            matrix_flop_per_s=1.0,
            graph_ms=None if "max" in case else p50_ms / 2,
            ceiling="bytes",
        )

    rows = [row("kernel scores", 9.0), row("kernel scores", 8.0), row("kernel scores", 4.0, "int8")]
    write("gpu_scoring", [*rows, row("factorised, max-autotune", 12.0)], tmp_path)
    told = dict(re.split(r"  +", line, maxsplit=1) for line in figures(tmp_path, FULL))
    assert told["float16, 1 queries, of the floor (bytes)"] == "75.0%, 4.000 ms"
    assert told["int8 over float16, 1 queries"] == "0.50, 2.000 ms"
    assert told["max-autotune over the kernel, 1 queries"] == "3.00, 12.000 ms"
    assert told["ten best over all scores, 1 queries"] == "not measured"
    assert told["vit-b32, video_encoder of 8, ONNX Runtime, CUDA"] == "not measured"
    assert told["served search, int8, 32 of 100,000 videos"] == "not measured"


SERVED = """
import sys
from unittest import mock

import torch

sys.path.insert(0, sys.argv[1])
from device_calls import QUICK, execute, patched
from standin_cuda import StandinCuda
from framesift.bench.gpu import served
from framesift.bench.gpu.scoring import Limits
from framesift.kernels.cuda.device import Device
from framesift.kernels.cuda.library import Cuda
from framesift.kernels.cuda.share import Share
from framesift.kernels.topk_attention.certified.resident import Certified
from framesift.kernels.topk_attention.divided import DividedGallery
from framesift.kernels.topk_attention.resident import Float16


def on_standins(shape, biases):
    driver = StandinCuda(execute, 1)
    given = Device(Cuda(driver), 0, driver.compiled), shape, Share(0, 1)
    return DividedGallery([Float16(*given) if biases is None else Certified(*given, biases)])


torch.manual_seed(0)
short = mock.patch.multiple(served, gallery_on_gpus=on_standins, _LEAST=1, _SECONDS=0.0)
with patched(QUICK), short:
    for row in served.measure(20, 20, (1,), torch.device("cpu"), Limits(1e12, 1e12, 1e12, None)):
        print(row.storage, row.same, row.failure, served.line(row), sep=";")
"""


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="the kernels run on the device")
def test_a_search_as_a_servers_is_compared_to_the_bit() -> None:
    pytest.importorskip("triton")
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    command = [sys.executable, "-c", SERVED, str(Path(__file__).parents[1] / "kernels")]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    rows = [line.split(";") for line in done.stdout.splitlines()]
    assert [row[:3] for row in rows] == [["float16", "True", ""], ["int8", "True", ""]]


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.skipif("FRAMESIFT_DRY" not in os.environ, reason="takes a quarter of an hour: FRAMESIFT_DRY=1 runs it")
@pytest.mark.skipif(torch.cuda.is_available(), reason="would run on the device")
def test_a_dry_run_goes_through_every_part(tmp_path: Path) -> None:
    pytest.importorskip("triton")
    command = [sys.executable, "-m", "framesift", "bench", "gpu", "all", "--dry", "--processes", "2"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "not measured:" not in done.stdout
    for part in plan_of():
        assert f"\n{part.name}: " in f"\n{done.stdout}"
    # A dry run has no driver: all else gives a figure.
    assert not re.search(r"portable .*not timed|bulk .*not timed", done.stdout)
    assert [line for line in done.stdout.splitlines() if line.endswith("not measured")] == [
        line for line in done.stdout.splitlines() if line.startswith("served search")
    ]
    assert not list(tmp_path.iterdir())


ELSEWHERE = ("av", "ftfy", "tritonclient", "lance", "pyarrow", "faiss", "fastapi", "pytriton", "ray", "tensorrt")


def test_a_machine_with_little_more_than_torch_and_triton_can_measure() -> None:
    """What such a machine lacks costs its own figures, and no others."""
    code = f"""
import sys
sys.modules.update(dict.fromkeys({ELSEWHERE!r}))
from framesift.bench.gpu import commands, served, whole
from framesift.bench.inputs.models import DEMO, system_of
system_of(DEMO).folded()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
