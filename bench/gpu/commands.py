"""``framesift bench gpu``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..options import MODELS, Command, duration, names_of, numbers, results_option, work_option

if TYPE_CHECKING:
    from ...kernels.topk_attention.configs import Storage
    from .run import Run
    from .schedule import Part

STORAGES: tuple[Storage, ...] = ("float16", "bfloat16", "int8", "float8_e4m3fn")
_TIMED: tuple[Storage, ...] = ("float16", "int8")
PRECISIONS = ("fp32", "tf32", "fp16", "bf16")
_FOREVER = float("inf")

storage_option = click.option(
    "--storage",
    "storages",
    default="float16,int8",
    show_default=True,
    callback=names_of(STORAGES),
    help=f"How frames are stored: some of {', '.join(STORAGES)}.",
)
queries_option = click.option(
    "--queries", default="1,16,256", show_default=True, callback=numbers, help="Queries at a time."
)
models_option = click.option(
    "--model", "models", default=",".join(MODELS), show_default=True, callback=names_of(MODELS), help="Whose encoders."
)
precision_option = click.option(
    "--precision",
    "precisions",
    default=",".join(PRECISIONS),
    show_default=True,
    callback=names_of(PRECISIONS),
    help="Of weights and products.",
)


def sizes_option(default: str) -> Callable[[Command], Command]:
    """``--videos``: sizes of galleries."""
    return click.option("--videos", default=default, show_default=True, callback=numbers, help="Sizes of the gallery.")


@click.group("gpu", short_help="Kernels and encoders on a GPU.")
def gpu_group() -> None:
    """Check and time kernels and encoders on this machine's CUDA device.

    What differs from float64 is reported and not timed, and the exit status is 1. Rows are written as they come.

    \b
    Example:
      framesift bench gpu all --budget 9m
    """


@gpu_group.command("all")
@click.option("--budget", default="9m", show_default=True, callback=duration, help="Begin nothing after this time.")
@click.option("--processes", default=12, show_default=True, type=click.IntRange(1), help="Compilers at a time.")
@click.option("--plan", is_flag=True, help="Show the parts and their times, and measure nothing.")
@work_option
@results_option
def all_command(budget: float, processes: int, plan: bool, work: Path, results: Path) -> None:
    """Check everything, then time what matters most first, until the time is up.

    In this order: all kernels are compiled at once; the ceilings; every kernel and every candidate against float64, and
    timed on 200,000 videos; the fastest of them on a million and fewer, beside the published formula; torch.compile
    with max-autotune and CUDA graphs; both encoders. It prints the lines of the table of tiles that the times ask for.

    \b
    Examples:
      framesift bench gpu all --plan
      framesift bench gpu all --budget 9m
    """
    from .schedule import run_parts

    if plan:
        for part in parts_of(None, processes, work):
            click.echo(f"{part.seconds:5.0f} s  {part.name}")
        return
    run = _run(results, budget)
    left_out = run_parts(parts_of(run, processes, work), budget, click.echo)
    if left_out:
        click.echo(f"not measured: {', '.join(left_out)}")
    run.finish()


def parts_of(run: Run | None, processes: int, work: Path) -> list[Part]:
    """The parts of a whole run; they can't be run without a device."""
    from .schedule import Part

    def part(name: str, seconds: float, call: Callable[[Run, float], object], needed: bool = False) -> Part:
        def start(left: float) -> None:
            assert run is not None, "a plan is only shown"
            call(run, left)

        return Part(name, seconds, start, needed)

    def compile_all(run: Run, left: float) -> None:
        variants = [*run.variants(("float16",), (1, 16, 256)), *run.variants(("int8",), (1, 16, 256))]
        run.compile(variants, processes, min(120.0, left / 3))

    return [
        part("compile every kernel", 90, compile_all),
        part("ceilings", 15, lambda run, _: run.limits, needed=True),
        part("kernels and candidates, 200,000 videos", 130, lambda run, _: run.tiles(_TIMED, 200_000, (1, 16, 256))),
        part("a million videos", 100, lambda run, _: run.scoring(_TIMED, (1_000_000,), (1, 16, 256), ("eager",))),
        part("fewer videos", 40, lambda run, _: run.scoring(("float16",), (100_000, 10_000), (1, 16, 256), ())),
        part("max-autotune", 100, lambda run, _: run.scoring(("float16",), (1_000_000,), (1, 16, 256), ("compiled",))),
        part("other storages", 20, lambda run, _: run.check(("bfloat16", "float8_e4m3fn"), (1, 256))),
        part("encoders", 45, lambda run, _: run.encoding(("vit-b32",), ("fp16", "fp32"), work / "gpu")),
    ]


@gpu_group.command("scoring")
@sizes_option("10000,100000,1000000")
@queries_option
@storage_option
@results_option
def scoring_command(
    videos: tuple[int, ...], queries: tuple[int, ...], storages: tuple[Storage, ...], results: Path
) -> None:
    """Time the fused kernels against the published formula, torch.compile with max-autotune, and the floor.

    The floor is the larger of the bytes that must move over the bandwidth of copies and of the operations over the rate
    of matrix products, both measured in the same run. Baselines that don't fit run on as many videos as do, and their
    time is scaled.

    \b
    Example:
      framesift bench gpu scoring --queries 1,256 --videos 100000 --storage float16
    """
    run = _run(results)
    run.scoring(storages, videos, queries)
    run.finish()


@gpu_group.command("tiles")
@click.option("--videos", default=200_000, show_default=True, type=click.IntRange(16), help="Size of the gallery.")
@queries_option
@storage_option
@results_option
def tiles_command(videos: int, queries: tuple[int, ...], storages: tuple[Storage, ...], results: Path) -> None:
    """Compare with float64, then time, the kernels that are used and those that wait to be measured.

    \b
    Example:
      framesift bench gpu tiles --queries 16 --storage int8
    """
    run = _run(results)
    run.tiles(storages, videos, queries)
    run.finish()


@gpu_group.command("encoding")
@models_option
@precision_option
@work_option
@results_option
def encoding_command(models: tuple[str, ...], precisions: tuple[str, ...], work: Path, results: Path) -> None:
    """Time both encoders: TensorRT and ONNX Runtime with the exported graphs, beside eager and compiled torch.

    \b
    Example:
      framesift bench gpu encoding --model vit-b32 --precision fp16
    """
    run = _run(results)
    run.encoding(models, precisions, work / "gpu")
    run.finish()


def _run(results: Path, budget_s: float = _FOREVER) -> Run:
    from .run import Run

    return Run(results, budget_s)
