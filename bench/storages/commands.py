"""``framesift bench storages``."""

from __future__ import annotations

from pathlib import Path

import click

from ..options import MODELS, bundle_argument, model_option, results_option, videos_option, work_option


@click.command("storages", short_help="What a gallery's storage keeps of the ranking.")
@bundle_argument
@model_option
@videos_option(least=100)
@click.option("--queries", default=500, show_default=True, type=click.IntRange(41), help="That are ranked.")
@work_option
@results_option
def storages_command(bundle: Path | None, model: str, videos: int, queries: int, work: Path, results: Path) -> None:
    """Compare what a served gallery of BUNDLE keeps with what its model makes: ranking, size, and time of a search.

    \b
    Example:
      framesift bench storages bundles/mine --queries 1000
    """
    from ..inputs.models import bundle_of
    from ..schema.files import write
    from .measure import line, measured

    opened = bundle_of(bundle or model, work, click.echo)
    name = bundle.name if bundle else model
    rows = list(measured(opened, name, videos, queries, drawn=bundle is None and model != MODELS[0]))
    for row in rows:
        click.echo(line(row))
    click.echo(f"rows in {write('storages', rows, results)}")
