"""``framesift bench against``."""

from __future__ import annotations

from pathlib import Path

import click

from ..options import (
    MODELS,
    bundle_argument,
    model_option,
    names_of,
    numbers,
    results_option,
    videos_option,
    work_option,
)

_NAMES = ("framesift", "eager-fastapi", "hf-faiss-fastapi", "grpc-aio", "pytriton")


@click.command("against", short_help="The same search, served in other ways.")
@bundle_argument
@model_option
@videos_option()
@click.option(
    "--services", default=",".join(_NAMES), show_default=True, callback=names_of(_NAMES), help="Which to compare."
)
@click.option("--concurrency", default="1,8,32", show_default=True, callback=numbers, help="Clients at a time.")
@click.option(
    "--rounds", default=3, show_default=True, type=click.IntRange(1), help="Of all services and concurrencies."
)
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
    results: Path,
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
    from ..inputs.corpus import prepare
    from ..inputs.models import bundle_of
    from ..schema.files import write
    from ..schema.rows import LoopSummary
    from .against import Plan, run
    from .services import SERVICES, demand_libraries
    from .summary import table

    chosen = [SERVICES[name] for name in services]
    demand_libraries(chosen)
    name = model if bundle is None else bundle.name
    opened = bundle_of(bundle or model, work, click.echo)
    drawn = bundle is None and model != MODELS[0]
    corpus = prepare(opened, videos, work / f"corpus-{name}-{videos}", drawn=drawn, report=click.echo)
    rows = run(Plan(tuple(chosen), concurrency, rounds, seconds, http_threads), corpus, name, click.echo)
    click.echo("\n" + table(row for row in rows if isinstance(row, LoopSummary)))
    click.echo(f"rows in {write('against', rows, results)}")
