"""``framesift bench shards``."""

from __future__ import annotations

from pathlib import Path

import click

from ..options import bundle_argument, model_option, results_option, work_option


@click.command("shards", short_help="A gallery in shards beside one server, by turns.")
@bundle_argument
@model_option
@click.option(
    "--shards", default=3, show_default=True, type=click.IntRange(2, 16), help="On a Ray cluster of their own."
)
@click.option(
    "--videos",
    "galleries",
    multiple=True,
    default=(300, 3_000, 30_000),
    show_default=True,
    type=click.IntRange(30),
    help="Size of the gallery; may be given several times.",
)
@click.option("--searches", default=300, show_default=True, type=click.IntRange(20), help="Of each kind, by each.")
@work_option
@results_option
def shards_command(
    bundle: Path | None,
    model: str,
    shards: int,
    galleries: tuple[int, ...],
    searches: int,
    work: Path,
    results: Path,
) -> None:
    """Serve the same gallery once on one server and once in shards, both on this machine, and search them by turns.

    A search goes to one of them at a time, of ten best, without facts and with them. In a gallery of a few hundred
    videos scanning takes no time, so what is added there are messages, processes and merging; in a large one also that
    several scans share this machine's processors. Answers are compared: where one differs, the exit status is 1.

    \b
    Examples:
      framesift bench shards
      framesift bench shards bundles/mine --shards 4 --videos 10000
    """
    from ..inputs.models import bundle_of
    from ..schema.files import RowWriter
    from ..schema.rows import Sharded
    from .measure import line, measured

    opened, name = bundle_of(bundle or model, work, click.echo), model if bundle is None else bundle.name
    found: list[Sharded] = []
    rows: RowWriter[Sharded] = RowWriter("shards", results, lambda row: click.echo(line(row)))
    with rows:
        for videos in galleries:
            for row in measured(opened, name, videos, shards, searches, lambda told: click.echo(told, err=True)):
                rows(row)
                found.append(row)
        click.echo(f"rows in {rows.finish(found)}")
    if differing := sum(row.differing for row in found):
        raise click.ClickException(f"{differing} answers of shards are not those of one server")
