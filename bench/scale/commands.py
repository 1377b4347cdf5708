"""``framesift bench scale``."""

from __future__ import annotations

from pathlib import Path

import click

from ..options import FOLDER


@click.command("scale", short_help="Galleries beyond one machine, by arithmetic.")
@click.option("--results", type=FOLDER, help="Folder of the rows. [default: framesift's own of a checkout]")
def scale_command(results: Path | None) -> None:
    """Say what galleries of 1e6, 1e8 and 1e9 videos take, from the newest rows of other measurements.

    Nothing is measured: bytes and machines are computed, and the tail of searches over many shards is simulated, the
    same at every run. The tables of docs/scale.md are these.

    \b
    Example:
      framesift bench scale --results bench/results
    """
    from ..report.cells import markdown
    from ..report.results import Results
    from ..schema.files import RESULTS
    from .tables import by_ray, indexing, sizes, tail

    found = Results(results or RESULTS)
    titled = {"Machines": sizes, "Indexing": indexing, "Indexing on Ray": by_ray, "Searches over many shards": tail}
    for title, table in titled.items():
        lines = table(found)
        click.echo(f"{title}\n\n{'Not measured yet.' if lines is None else markdown(lines)}\n")
