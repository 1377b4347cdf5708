"""Machine code of the Triton kernels of plain vectors for GPUs that needn't be here: spills, tensor cores, copies."""

from __future__ import annotations

import re

import pytest

pytest.importorskip("triton")

from framesift.kernels.aot import jobs
from framesift.kernels.device.pair_plan import PAIR_TILES

from .ahead import told_by

MODULE = "framesift.kernels.aot"


@pytest.mark.long
@pytest.mark.timeout(900)
def test_the_kernels_of_frames_keep_their_limits() -> None:
    told = told_by(MODULE, "--arch", "90", "--kernel", "frame_softmax", "token_frame", "--queries", "64", "--search")
    assert len(re.findall(r"^sm_90 \w+ many search .*HGMMA", told, re.M)) == 2


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("arch", PAIR_TILES)
def test_every_row_of_the_tables_keeps_its_limits(arch: int) -> None:
    told = told_by(MODULE, "--arch", str(arch))
    assert len(re.findall(rf"^sm_{arch} ", told, re.M)) == len(list(jobs((arch,))))
    assert {90: "HGMMA", 100: "UTCHMMA"}.get(arch, "HMMA") in told


def test_help_shows_an_example() -> None:
    assert "example: python -m framesift.kernels.aot --arch" in told_by(MODULE, "--help")
