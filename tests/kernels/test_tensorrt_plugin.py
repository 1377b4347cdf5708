"""The node's kernel: its results under the interpreter, its PTX, and what TensorRT's own plugin code makes of it."""

from __future__ import annotations

import re
import secrets
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("triton")

import triton

from framesift.export import custom_node
from framesift.export.systems.dong2026 import plugin_node
from framesift.kernels.device import sass
from framesift.kernels.device.tile import Regime
from framesift.kernels.topk_attention.configs import Storage
from framesift.kernels.topk_attention.factorised import score
from framesift.kernels.topk_attention.layout import HeadShape
from framesift.kernels.topk_attention.portable_kernel import (
    Compiled,
    compiled,
    parameters,
    portable_plan,
    without_scratch,
)

from . import tensorrt_standin as standin
from .heads import problem

# TensorRT's sources hold backslashes that Python warns of.
pytestmark = [pytest.mark.long, pytest.mark.filterwarnings("ignore:invalid escape")]

SHAPE = HeadShape(frames=3, width=64, top_k=2)
NODE = plugin_node(SHAPE)
KERNELS: list[tuple[Storage, Regime]] = [
    ("float16", "few"),
    ("float16", "some"),
    ("float16", "many"),
    ("float32", "few"),
]
KINDS = {"float32": standin.DataType.FLOAT, "float16": standin.DataType.HALF}
# What a program has without asking the driver for more.
PLAIN_SHARED = 48 * 1024
REFUSED = ("cluster", "tensormap", "tcgen05", "wgmma", "cp.async.bulk", "global_scratch", ".loc")


@pytest.mark.parametrize(
    ("queries", "videos", "frames", "width", "heads", "top_k", "storage", "regime"),
    [
        (1, 1, 4, 64, 1, 1, "float16", "few"),
        (11, 37, 12, 64, 1, 4, "float16", "few"),
        (17, 33, 5, 64, 2, 2, "float16", "some"),
        (67, 9, 5, 64, 1, 4, "float16", "many"),
        (5, 19, 6, 64, 4, 6, "float32", "few"),
    ],
)
def test_scores_and_attention_of_the_nodes_own_inputs(
    interpreted: Callable[..., Any],
    queries: int,
    videos: int,
    frames: int,
    width: int,
    heads: int,
    top_k: int,
    storage: str,
    regime: Regime,
) -> None:
    made = problem(queries, videos, frames, width, heads, top_k)
    text = [torch.from_numpy(x) for x in (made.text.logit, made.text.readout, made.text.scalars)]
    clips, tables = torch.from_numpy(made.frames), torch.from_numpy(made.tables)
    if storage == "float16":
        clips = clips.half()
    shape = [frames, width, top_k, heads]
    scores, attention = interpreted("attend", **arguments(text, clips, tables), shape=shape, regime=regime)
    if storage == "float16" and regime != "few":
        # the kernel rounds text vectors to the products' 16 bits
        text[:2] = [x.half().float() for x in text[:2]]
    want, weights = score(*(x.double() for x in (*text, clips, tables)), made.shape)
    assert (scores.shape, attention.shape) == (want.shape, weights.shape)
    assert (scores - want).abs().max() < 2e-5
    assert (attention - weights).abs().max() < 1e-4


def arguments(text: list[torch.Tensor], frames: torch.Tensor, table: torch.Tensor) -> dict[str, torch.Tensor]:
    return dict(zip(("logit", "readout", "scalars", "frames", "table"), (*text, frames, table), strict=True))


@pytest.fixture(scope="module", params=KERNELS, ids="-".join)
def kernel(request: pytest.FixtureRequest) -> tuple[Compiled, Storage, Regime]:
    storage, regime = request.param
    return compiled(portable_plan(SHAPE, storage, regime)), storage, regime


def test_the_ptx_takes_what_tensorrt_passes(kernel: tuple[Compiled, Storage, Regime]) -> None:
    made, storage, regime = kernel
    names = [name for name, _ in parameters(portable_plan(SHAPE, storage, regime))]
    assert names == ["U", "W", "TAU", "X", "TABLE", "Q", "V", "OUT", "ATTENTION"]
    assert sass.parameters(made.ptx) == ["u64"] * 5 + ["u32"] * 2 + ["u64"] * 2
    assert re.findall(r"\.entry (\w+)\(", made.ptx) == [made.name]
    assert made.shared <= PLAIN_SHARED


def test_the_ptx_is_for_every_gpu_and_asks_for_nothing_special(kernel: tuple[Compiled, Storage, Regime]) -> None:
    made, *_ = kernel
    assert re.search(r"^\.version 8\.0$", made.ptx, re.M)
    assert re.search(r"^\.target sm_80$", made.ptx, re.M)
    assert [word for word in REFUSED if word in made.ptx] == []
    assert str(Path(sass.__file__).parent) not in made.ptx
    assert "mma.sync" in made.ptx


@pytest.mark.parametrize("arch", [80, 86, 89, 90, 100, 120])
def test_every_gpus_assembler_takes_it_without_spills(
    kernel: tuple[Compiled, Storage, Regime], arch: int, tmp_path: Path
) -> None:
    tools = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"
    newer = tools / "ptxas-blackwell"
    tool = newer if arch >= 100 and newer.exists() else tools / "ptxas"
    (tmp_path / "kernel.ptx").write_text(kernel[0].ptx)
    command = [str(tool), "-v", f"-arch=sm_{arch}", str(tmp_path / "kernel.ptx"), "-o", str(tmp_path / "kernel.cubin")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "0 bytes spill stores, 0 bytes spill loads" in done.stderr


def test_scratch_memory_that_is_read_is_refused() -> None:
    head = ".visible .entry k(\n.param .u64 .ptr .global .align 1 k_param_0,\n.param .u64 k_param_1\n)\n"
    kept = without_scratch(head + "{ ld.param.u64 %rd1, [k_param_0]; }", 1)
    assert sass.parameters(kept) == ["u64"]
    assert "k_param_0;" not in kept.split(")")[0]
    with pytest.raises(RuntimeError, match="k_param_1"):
        without_scratch(head + "{ ld.param.u64 %rd1, [k_param_1]; }", 1)
    assert sass.parameters(without_scratch(head + "{ ld.param.u64 %rd1, [k_param_10]; }", 1)) == ["u64"]


@pytest.fixture(scope="module")
def registered() -> Iterator[tuple[Any, Any]]:
    """The stand-in for TensorRT's native module and the plugin's module, registered in it."""
    folder = standin.sources()
    if folder is None:
        pytest.skip("TensorRT's Python sources are not installed: pip install --no-deps tensorrt-cu13-bindings")
    with standin.installed(folder) as trt:
        from framesift.kernels.topk_attention import tensorrt_plugin

        yield trt, tensorrt_plugin


def planned(registered: tuple[Any, Any], storage: str, tactic: int) -> standin.Planned:
    trt, plugin = registered
    dims = [["q", 64], ["q", 64], ["q", 4], ["v", 1, 3, 64], ["v", SHAPE.rows]]
    dtypes = [standin.DataType.FLOAT] * 3 + [KINDS[storage], standin.DataType.FLOAT]
    # in the order in which onnx writes them
    attributes = dict(sorted(NODE.sizes.items()))
    return standin.drive(trt, plugin.NAME, dims, dtypes, attributes, tactic)


def test_tensorrt_finds_the_plugin_of_the_node(registered: tuple[Any, Any]) -> None:
    trt, plugin = registered
    assert f"{custom_node.DOMAIN}::{NODE.operator}" == plugin.NAME
    creator = trt.get_plugin_registry().get_creator(NODE.operator, custom_node.PLUGIN_VERSION, custom_node.DOMAIN)
    assert [field.name for field in creator.field_names] == sorted(NODE.sizes)


@pytest.mark.parametrize(("storage", "tactics"), [("float16", [1, 2, 3]), ("float32", [1])])
def test_outputs_and_tactics(registered: tuple[Any, Any], storage: str, tactics: list[int]) -> None:
    plan = planned(registered, storage, 1)
    assert plan.output_types == [standin.DataType.FLOAT] * 2
    assert [[size.at({"q": 5, "v": 7}) for size in shape] for shape in plan.output_shapes] == [[5, 7], [5, 7, 3]]
    assert sorted(plan.tactics) == tactics


@pytest.mark.parametrize(("storage", "regime"), KERNELS)
def test_tensorrt_launches_what_the_launcher_launches(
    registered: tuple[Any, Any], storage: Storage, regime: Regime
) -> None:
    tactic = {name: number for number, name in registered[1].TACTICS.items()}[regime]
    plan = planned(registered, storage, tactic)
    how = portable_plan(SHAPE, storage, regime)
    made = compiled(how)
    assert (plan.kernel, plan.ptx) == (made.name, made.ptx)
    for _ in range(20):
        sizes = {"q": 1 + secrets.randbelow(300), "v": 1 + secrets.randbelow(1_000_000)}
        assert [n.at(sizes) for n in plan.grid] == [*how.tile.grid(sizes["q"], sizes["v"]), 1, 1]
        assert [n.at(sizes) for n in plan.block] == [32 * how.tile.options()["num_warps"], 1, 1]
        assert plan.shared.at(sizes) == made.shared
        assert [(n.dtype.name, n.expr.at(sizes)) for n in plan.extra] == [("INT32", sizes["q"]), ("INT32", sizes["v"])]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize(("queries", "videos"), [(1, 1), (19, 4097), (131, 70)])
@pytest.mark.parametrize(("storage", "regime"), KERNELS)
def test_the_gpu_runs_the_ptx_as_an_engine_starts_it(
    registered: tuple[Any, Any], storage: Storage, regime: Regime, queries: int, videos: int
) -> None:
    from .on_gpu import start_ptx

    plan = planned(registered, storage, {name: number for number, name in registered[1].TACTICS.items()}[regime])
    made = problem(queries, videos, SHAPE.frames, SHAPE.width, SHAPE.heads, SHAPE.top_k)
    text = [torch.from_numpy(x) for x in (made.text.logit, made.text.readout, made.text.scalars)]
    clips, tables = torch.from_numpy(made.frames), torch.from_numpy(made.tables)
    clips = clips.half() if storage == "float16" else clips
    on_gpu = [x.cuda().contiguous() for x in (*text, clips, tables)]
    scores = torch.full((queries, videos), torch.nan, device="cuda")
    attention = torch.full((queries, videos, SHAPE.frames), torch.nan, device="cuda")
    sizes = {"q": queries, "v": videos}
    kernel = compiled(portable_plan(SHAPE, storage, regime))
    start_ptx(kernel, plan.grid[0].at(sizes), on_gpu, [n.expr.at(sizes) for n in plan.extra], [scores, attention])
    if storage == "float16" and regime != "few":
        text[:2] = [x.half().float() for x in text[:2]]
    want, weights = score(*(x.double() for x in (*text, clips, tables)), made.shape)
    assert (scores.cpu() - want).abs().max() < 2e-5
    assert (attention.cpu() - weights).abs().max() < 1e-4
