"""``framesift bench gpu``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ...export.bundle.dependent import Dependent
from ..options import MODELS, Command, duration, names_of, numbers, results_option, work_option

if TYPE_CHECKING:
    from ...kernels.topk_attention.configs import Storage
    from .run import Run

STORAGES: tuple[Storage, ...] = ("float16", "bfloat16", "int8", "float8_e4m3fn")
_TIMED: tuple[Storage, ...] = ("float16", "int8")
PRECISIONS = ("fp32", "tf32", "fp16", "bf16")
# The scorers of plain vectors that have kernels: folders of ``kernels``.
SCORERS = ("dot", "frame_softmax", "token_frame", "multi_grained")

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
@click.option(
    "--dry",
    cls=Dependent,
    bars=("--plan",),
    is_flag=True,
    help="Run all of it in small without a GPU, with the kernels interpreted, and keep no rows.",
)
@work_option
@results_option
def all_command(budget: float, processes: int, plan: bool, dry: bool, work: Path, results: Path) -> None:
    """Check everything, then time what matters most first, until the time is up.

    In this order: all kernels are compiled at once, and encoders exported; the ceilings; the kernels that are used, on
    a million videos, beside the published formula; searches as a server makes them; the video encoder; torch.compile
    with max-autotune and CUDA graphs; every kernel and every candidate on 200,000 videos, and the faster ones on a
    million; the kernels of the other scorers; what Nsight Compute counts, where it is installed. Everything is compared
    with float64 before it is timed. It prints the lines of the table of tiles that the times ask for, and the figures.

    Each part has a process of its own and a time: one that crashes or hangs costs the others nothing. Rows are on disk
    as soon as they are known.

    \b
    Examples:
      framesift bench gpu all --plan
      framesift bench gpu all --dry
      framesift bench gpu all --budget 9m
    """
    if plan:
        from .whole import plan_of

        for part in plan_of():
            click.echo(f"{part.seconds:5.0f} s  {part.name}")
        return
    if dry:
        from .dry import interpret

        interpret()
    from .whole import dry_run, run_whole

    faults = dry_run(processes) if dry else run_whole(budget, processes, work / "gpu", results)
    _end(faults)


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
    run.scoring(storages, videos, queries, ("kernel", "eager", "compiled"))
    _end(run.told.faults)


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
    _end(run.told.faults)


@gpu_group.command("pairs")
@click.option(
    "--scorer",
    "scorers",
    default=",".join(SCORERS),
    show_default=True,
    callback=names_of(SCORERS),
    help="Whose kernels.",
)
@sizes_option("200000,1000000")
@queries_option
@click.option("--baselines/--no-baselines", default=True, show_default=True, help="The formula, eager and compiled.")
@results_option
def pairs_command(
    scorers: tuple[str, ...], videos: tuple[int, ...], queries: tuple[int, ...], baselines: bool, results: Path
) -> None:
    """Compare the kernels of the scorers of plain vectors with float64, then time them beside their formulas.

    \b
    Example:
      framesift bench gpu pairs --scorer token_frame --queries 1,64 --videos 200000
    """
    run = _run(results)
    run.pairs(scorers, videos, queries, ("kernel", "eager", "compiled") if baselines else ("kernel",))
    _end(run.told.faults)


@gpu_group.command("served")
@click.option("--videos", default=1_000_000, show_default=True, type=click.IntRange(16), help="Size of the gallery.")
@click.option(
    "--certified", default=100_000, show_default=True, type=click.IntRange(16), help="Of the one in int8 steps too."
)
@click.option("--queries", default="1,32", show_default=True, callback=numbers, help="Queries at a time.")
@results_option
def served_command(videos: int, certified: int, queries: tuple[int, ...], results: Path) -> None:
    """Time searches as a server's ranker makes them, without a server, and compare what they find to the bit.

    \b
    Example:
      framesift bench gpu served --videos 200000
    """
    run = _run(results)
    run.served(videos, certified, queries)
    _end(run.told.faults)


@gpu_group.command("profile")
@results_option
def profile_command(results: Path) -> None:
    """Count with Nsight Compute what the main kernels use of the device; without it nothing is measured.

    \b
    Example:
      framesift bench gpu profile
    """
    run = _run(results)
    run.profile()
    _end(run.told.faults)


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
    _end(run.told.faults)


def _run(results: Path) -> Run:
    from .run import Run
    from .timing import cuda

    return Run(results, cuda())


def _end(faults: Sequence[str]) -> None:
    """End a run.

    Raises:
        EngineError: something was wrong.
    """
    from ...export.bundle.errors import EngineError

    if faults:
        raise EngineError("\n".join(["what failed:", *faults]))
