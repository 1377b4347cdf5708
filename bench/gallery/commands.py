"""``framesift bench gallery``."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ...export.bundle.storage_names import Storage
from ...serving.storage_option import storage_option
from ..options import results_option, work_option

if TYPE_CHECKING:
    from .world import Films


@click.command("gallery", short_help="Import, commits, load, restart and freshness of a gallery of any size.")
@click.option("--videos", default=20_000, show_default=True, type=click.IntRange(10_000), help="Size of the gallery.")
@storage_option("How videos are kept in memory, as of `framesift serve`; int8 is also compared with float16.")
@click.option(
    "--films",
    type=click.Choice(("clusters", "moments")),
    default="clusters",
    show_default=True,
    help="Films of topics, or films of shots that have little to do with one another.",
)
@click.option("--coarse", is_flag=True, help="Also calibrate a coarse stage, and compare its searches with exact ones.")
@click.option(
    "--replaced",
    type=click.IntRange(1000),
    help="Videos that are replaced for the disk's figures. [default: 0.3 of them, at most 300,000]",
)
@work_option
@results_option
def gallery_command(
    videos: int, storage: Storage, films: Films, coarse: bool, replaced: int | None, work: Path, results: Path
) -> None:
    """Make a gallery of records of the reference model's shapes, and compare what it takes with what is promised.

    It needs no bundle, 30 kB of disk a video, and exits with 1 where a promise is not kept. The galleries are removed
    in the end.

    \b
    Examples:
      framesift bench gallery --videos 100000
      framesift bench gallery --videos 100000 --storage int8 --films moments
      framesift bench gallery --videos 100000 --coarse
    """
    import shutil

    from ..schema.files import write
    from .measure import figures

    folder = work / f"gallery-{videos}"
    shutil.rmtree(folder, ignore_errors=True)
    rows = []
    told = partial(click.echo, err=True)
    try:
        for row in figures(folder, videos, told, storage, films, averaged=coarse, replacements=replaced):
            rows.append(row)
            click.echo(f"{row.figure:<62} {row.value:>12,.3f}   {row.promise}{'' if row.kept else '   NOT KEPT'}")
    finally:
        # What was measured is not lost where the rest can't be.
        if rows:
            click.echo(f"rows in {write('gallery', rows, results)}")
    if fell := sum(not row.kept for row in rows):
        raise click.ClickException(f"{fell} of {len(rows)} promises are not kept")
