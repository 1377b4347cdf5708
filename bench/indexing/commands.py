"""``framesift bench indexing``."""

from __future__ import annotations

from pathlib import Path

import click

from ..options import bundle_argument, model_option, results_option, work_option


@click.command("indexing", short_help="Indexing without a server: by processes, and by actors of Ray.")
@bundle_argument
@model_option
@click.option(
    "--videos", default=2000, show_default=True, type=click.IntRange(50), help="In the manifest: the same few clips."
)
@click.option("--workers", default=2, show_default=True, type=click.IntRange(1), help="Processes, and actors.")
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(1), help="Of both ways by turns.")
@work_option
@results_option
def indexing_command(
    bundle: Path | None, model: str, videos: int, workers: int, rounds: int, work: Path, results: Path
) -> None:
    """Index one manifest with `framesift index` and with `framesift index --ray local`, and compare what a video takes.

    Each run is made with a fourth of the videos, too: so what it takes before its first video is told apart. Processor
    seconds are those of all processes, Ray's own among them: beside other work they tell more than seconds do.

    \b
    Example:
      framesift bench indexing bundles/mine --videos 5000
    """
    from ..inputs.models import bundle_of
    from ..schema.files import write
    from .measure import measured

    def told(line: str) -> None:
        click.echo(line, err=True)

    opened = bundle_of(bundle or model, work, told)
    rows = measured(opened, bundle.name if bundle else model, videos, workers, rounds, work, told)
    for row in rows:
        click.echo(
            f"{row.way:<10} a video {row.video_s * 1e3:7.2f} ms, {row.video_cpu_s * 1e3:7.2f} ms of processors; "
            f"to begin {row.start_s:5.1f} s, {row.start_cpu_s:5.1f} s; rate {row.ratio:.2f} of that of processes, "
            f"by processor time {row.cpu_ratio:.2f}"
        )
    click.echo(f"rows in {write('indexing', rows, results)}")
