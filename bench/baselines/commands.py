"""``framesift bench against``."""

from __future__ import annotations

from pathlib import Path

import click

from ..options import bundle_argument, model_option, results_option, work_option

_NAMES = ("framesift", "eager-fastapi", "hf-faiss-fastapi", "grpc-aio", "pytriton")


def _listed(ctx: click.Context, parameter: click.Parameter, value: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(part.strip() for part in value.split(",")))
    if unknown := [name for name in names if name not in _NAMES]:
        raise click.BadParameter(f"{', '.join(unknown)}: it must be some of {', '.join(_NAMES)}")
    return names


def _numbers(ctx: click.Context, parameter: click.Parameter, value: str) -> tuple[int, ...]:
    try:
        numbers = tuple(int(part) for part in value.split(","))
    except ValueError as error:
        raise click.BadParameter(f"{value!r}: give whole numbers with commas between them") from error
    if min(numbers) < 1:
        raise click.BadParameter("every number must be at least 1")
    return numbers


@click.command("against")
@bundle_argument
@model_option
@click.option("--videos", default=10_000, show_default=True, type=click.IntRange(10), help="Size of the gallery.")
@click.option("--services", default=",".join(_NAMES), show_default=True, callback=_listed, help="Which to compare.")
@click.option("--concurrency", default="1,8,32", show_default=True, callback=_numbers, help="Clients at a time.")
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(1))
@click.option("--seconds", default=5.0, show_default=True, type=click.FloatRange(0.1), help="Of each loop.")
@click.option("--http-threads", type=click.IntRange(1), help="PyTorch's threads of a search; each service tries.")
@work_option
@results_option
def against_command(
    bundle: Path | None,
    model: str,
    videos: int,
    services: tuple[str, ...],
    concurrency: tuple[int, ...],
    rounds: int,
    seconds: float,
    http_threads: int | None,
    work: Path,
    results: Path | None,
) -> None:
    """Compare framesift with what BUNDLE would be served by otherwise.

    One search, a text to its ten best videos, behind framesift's server, eager PyTorch in FastAPI, Hugging Face's CLIP
    with mean pooling and FAISS in FastAPI, a plain gRPC server, and PyTriton: the same weights, videos and queries, all
    running at once and asked in turns. Before that, services of the same formula must give the same results.

    \b
    Examples:
      framesift bench against
      framesift bench against bundles/mine --services framesift,eager-fastapi --seconds 20
    """
    from .. import rows as results_file
    from .against import Plan, run, table
    from .material import prepare
    from .models import VIT_B32, bundle_of
    from .services import SERVICES, demand_libraries

    chosen = [SERVICES[name] for name in services]
    demand_libraries(chosen)
    name = model if bundle is None else bundle.name
    opened = bundle_of(bundle or model, work, click.echo)
    random = bundle is None and model == VIT_B32
    material = prepare(opened, videos, work / f"material-{name}-{videos}", random=random, report=click.echo)
    rows = run(Plan(tuple(chosen), concurrency, rounds, seconds, http_threads), material, name, click.echo)
    click.echo("\n" + table(rows))
    if results is not None:
        click.echo(f"written to {results_file.write('against', rows, results)}")
