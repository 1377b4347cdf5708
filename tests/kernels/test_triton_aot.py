"""The Triton kernels' machine code for GPUs that needn't be here: spills, tensor cores, copies, parameters."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

pytest.importorskip("triton")

from framesift.kernels.topk_attention.configs import BYTES, CANDIDATES, TILES

COMMAND = [sys.executable, "-m", "framesift.kernels.topk_attention.aot"]
# the interpreter's tests may have left their choice in this process
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}


def compiled(*arguments: str) -> str:
    done = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, env=ENVIRONMENT, check=False)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


# One for each architecture; the slow tests have the others.
@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("arch", "regime"), [(80, "few"), (90, "many"), (100, "few"), (120, "few")])
def test_a_kernel_of_every_architecture_keeps_its_limits(arch: int, regime: str) -> None:
    told = compiled("--arch", str(arch), "--regime", regime)
    assert re.search(rf"^sm_{arch} float16 {regime} portable ", told, re.M)
    assert ("HGMMA" in told) == (arch == 90)


OTHERS = """
from framesift.kernels.topk_attention import sass
from framesift.kernels.topk_attention.building import build_others

for kept in (16, 128):
    for name, kernel in build_others(90, kept, 512).items():
        cost = sass.cost(kernel, 90)
        print(name, kept, cost.stack + cost.local_accesses, kernel.metadata.global_scratch_size, cost.registers)
"""


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_what_stands_before_and_behind_the_scores_spills_nothing() -> None:
    done = subprocess.run([sys.executable, "-c", OTHERS], capture_output=True, text=True, env=ENVIRONMENT, check=False)
    print(done.stdout)
    assert re.findall(r"^(\w+ \d+) 0 0 \d+$", done.stdout, re.M) == ["select 16", "pack 16", "select 128", "pack 128"]


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_every_row_of_the_tables_keeps_its_limits() -> None:
    told = compiled()
    rows = {(int(arch), regime) for arch, regime in re.findall(r"^sm_(\d+) float16 (\w+) portable ", told, re.M)}
    assert rows == {key for key in TILES if key[0] in (80, 90, 100, 120)}
    assert "UTCHMMA" in told
    assert len(re.findall(r" int8 ", told)) == len(BYTES) + 1


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_candidates_for_hopper_keep_their_limits() -> None:
    """Gluon has no interpreter: that it compiles and spills nothing is all that is known of the ping-pong kernel."""
    told = compiled("--arch", "90", "--candidates")
    assert len(re.findall(r"^sm_90 ", told, re.M)) == sum(map(len, CANDIDATES.values()))
    assert re.search(r"^sm_90 float16 many pingpong .*HGMMA", told, re.M)
    assert re.search(r"^sm_90 float16 few bulk .*HMMA", told, re.M)


def test_help_shows_an_example() -> None:
    done = subprocess.run([*COMMAND, "--help"], capture_output=True, text=True, env=ENVIRONMENT, check=True)
    assert "example: python -m framesift.kernels.topk_attention.aot --arch" in done.stdout
