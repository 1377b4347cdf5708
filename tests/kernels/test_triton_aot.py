"""The Triton kernels' machine code for GPUs that needn't be here: spills, tensor cores, copies, parameters."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

pytest.importorskip("triton")

from framesift.kernels.topk_attention.configs import BYTES, CANDIDATES, TILES

from .ahead import ENVIRONMENT, told_by

MODULE = "framesift.kernels.topk_attention.aot"


# One kernel, of the architecture with warpgroups; the slow tests have the others.
@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("arch", "regime"), [(90, "many"), *(pytest.param(arch, "few", marks=pytest.mark.slow) for arch in (80, 100, 120))]
)
def test_a_kernel_of_every_architecture_keeps_its_limits(arch: int, regime: str) -> None:
    told = told_by(MODULE, "--arch", str(arch), "--regime", regime)
    assert re.search(rf"^sm_{arch} float16 {regime} portable ", told, re.M)
    assert ("HGMMA" in told) == (arch == 90)


OTHERS = """
from framesift.kernels.cuda.code import Source, machine_code
from framesift.kernels.device import sass
from framesift.kernels.device.keep import keep_kernel
from framesift.kernels.device.tile import GROUP, KEPT
from framesift.kernels.topk_attention.building import selecting
from framesift.kernels.topk_attention.text import pack_kernel

stored = {"OUT": "*fp32", "LIVE": "*u8", "Q": "i32", "V": "i32", "LARGEST": "*i32"}
packed = {"U": "*fp32", "W": "*fp32", "PACKED_U": "*fp16", "PACKED_W": "*fp16", "Q": "i32"}
sources = {
    "keep": Source(keep_kernel, stored, {"BQ": KEPT, "GROUP": GROUP}),
    "pack": Source(pack_kernel, packed, {"D": 512, "BLOCK": 512}),
    "select 16": selecting(16),
    "select 128": selecting(128),
}
for name, source in sources.items():
    kernel = machine_code(source, 90)
    cost = sass.cost(kernel)
    print(name, cost.stack + cost.local_accesses, kernel.metadata.global_scratch_size, cost.registers)
"""


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_what_stands_before_and_behind_the_scores_spills_nothing() -> None:
    done = subprocess.run([sys.executable, "-c", OTHERS], capture_output=True, text=True, env=ENVIRONMENT, check=False)
    print(done.stdout)
    unspilled = re.findall(r"^(.+) 0 0 \d+$", done.stdout, re.M)
    assert unspilled == ["keep", "pack", "select 16", "select 128"]


SEARCH = """
import sys

sys.modules["torch"] = None  # as where there is none
from framesift.kernels.cuda.code import compiled, machine_code
from framesift.kernels.device import sass
from framesift.kernels.topk_attention import ahead
from framesift.kernels.topk_attention.layout import HeadShape

frames, width, top, arch = map(int, sys.argv[1:5])
shape = HeadShape(frames, width, top)
for name in sys.argv[5:] or ahead.names(int8=True):
    source = ahead.source(name, shape, arch)
    code, kernel = compiled(source, arch), machine_code(source, arch)
    cost = sass.cost(kernel)
    matrix = "+".join(sorted(cost.matrix)) or "none"
    print(name, code.name, code.scratch, len(code.kinds), cost.stack, cost.registers, matrix, sep=",")
    assert len(sass.parameters(kernel.asm["ptx"])) == len(code.kinds) + code.scratch
    assert code.image[:4] == b"\\x7fELF"
"""


def search_kernels(frames: int, width: int, top: int, arch: int, *names: str) -> dict[str, list[str]]:
    sizes = map(str, (frames, width, top, arch))
    command = [sys.executable, "-c", SEARCH, *sizes, *names]
    done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, check=False)
    print(done.stdout, done.stderr)
    assert done.returncode == 0
    return {line.split(",")[0]: line.split(",")[1:] for line in done.stdout.splitlines()}


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_search_compiles_where_there_is_no_torch() -> None:
    found = search_kernels(3, 64, 2, 80, "score 1", "select 16", "products", "left")
    assert [row[0] for row in found.values()] == ["score_kernel", "select_kernel", "products_kernel", "bound_kernel"]
    assert "IMMA" in found["products"][-1]


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("arch", [80, 90])
def test_the_int8_search_of_the_papers_sizes_compiles(arch: int) -> None:
    found = search_kernels(12, 512, 4, arch, "products", "scores", "left")
    # Nothing is spilled, and the products are a tensor core's.
    assert [row[3] for row in found.values()] == ["0"] * 3
    assert "IMMA" in found["products"][-1]


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_every_row_of_the_tables_keeps_its_limits() -> None:
    told = told_by(MODULE)
    rows = {(int(arch), regime) for arch, regime in re.findall(r"^sm_(\d+) float16 (\w+) portable ", told, re.M)}
    assert rows == {key for key in TILES if key[0] in (80, 90, 100, 120)}
    assert "UTCHMMA" in told
    assert len(re.findall(r" int8 ", told)) == len(BYTES) + 1


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_candidates_for_hopper_keep_their_limits() -> None:
    """Gluon has no interpreter: that it compiles and spills nothing is all that is known of the ping-pong kernel."""
    told = told_by(MODULE, "--arch", "90", "--candidates")
    assert len(re.findall(r"^sm_90 ", told, re.M)) == 2 * sum(map(len, CANDIDATES.values()))
    assert re.search(r"^sm_90 float16 many pingpong .*HGMMA", told, re.M)
    assert re.search(r"^sm_90 float16 few bulk .*HMMA", told, re.M)


def test_help_shows_an_example() -> None:
    assert "example: python -m framesift.kernels.topk_attention.aot --arch" in told_by(MODULE, "--help")
