"""The Triton kernels' machine code for GPUs that needn't be here: spills, tensor cores, copies, parameters."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

pytest.importorskip("triton")

COMMAND = [sys.executable, "-m", "framesift.kernels.topk_attention.aot"]
# the interpreter's tests may have left their choice in this process
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "arch",
    [
        pytest.param((90,), id="hopper", marks=pytest.mark.long),
        pytest.param((80, 90, 100, 120), id="all", marks=pytest.mark.slow),
    ],
)
def test_every_target_keeps_its_limits(arch: tuple[int, ...]) -> None:
    chosen = ["--arch", *map(str, arch)] if len(arch) < 4 else []
    done = subprocess.run([*COMMAND, *chosen], capture_output=True, text=True, env=ENVIRONMENT, check=False)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    for target in arch:
        for regime in ("few", "many"):
            assert re.search(rf"^sm_{target} float16 {regime} ", done.stdout, re.M)
    assert "HGMMA" in done.stdout
    assert ("UTCHMMA" in done.stdout) == (100 in arch)


def test_help_shows_an_example() -> None:
    done = subprocess.run([*COMMAND, "--help"], capture_output=True, text=True, env=ENVIRONMENT, check=True)
    assert "example: python -m framesift.kernels.topk_attention.aot --arch" in done.stdout
