"""``framesift bench gpu``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..options import MODELS, Command, duration, names_of, numbers, results_option, work_option

if TYPE_CHECKING:
    from .run import Run

STORAGES = ("float16", "bfloat16", "int8", "float8_e4m3fn")
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
@work_option
@results_option
def all_command(budget: float, work: Path, results: Path) -> None:
    """Check everything, then time what matters most first, until the time is up.

    In this order: the kernel in every storage against float64; scores and searches over a million videos and fewer,
    beside the published formula, torch.compile and the floor; both encoders; other tiles.

    \b
    Example:
      framesift bench gpu all --budget 9m
    """
    run = _run(results, budget)
    run.check(STORAGES, (1, 16, 256))
    run.scoring(("float16", "int8"), (1_000_000, 100_000, 10_000), (1, 16, 256))
    run.encoding(("vit-b32", "demo"), ("fp16", "fp32"), work / "gpu")
    run.tiles(("float16", "int8"), 200_000, (1, 16, 256))
    run.finish()


@gpu_group.command("scoring")
@sizes_option("10000,100000,1000000")
@queries_option
@storage_option
@results_option
def scoring_command(
    videos: tuple[int, ...], queries: tuple[int, ...], storages: tuple[str, ...], results: Path
) -> None:
    """Time the fused Triton kernel against the published formula, torch.compile and the floor.

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
def tiles_command(videos: int, queries: tuple[int, ...], storages: tuple[str, ...], results: Path) -> None:
    """Time other tiles of the Triton kernel than those that are used.

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
