"""``framesift gallery split``: a gallery for several machines."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from ...export.bundle.errors import FramesiftError
from .shard import MAX_SHARDS

_PATH = click.Path(path_type=Path)


@click.command("split")
@click.argument("folder", type=_PATH)
@click.argument("out", type=_PATH)
@click.option("--shards", required=True, type=click.IntRange(1, MAX_SHARDS), help="How many.")
def split_command(folder: Path, out: Path, shards: int) -> None:
    """Copy the gallery in FOLDER into shards, by a hash of the id, for `framesift serve --cluster`.

    OUT gets a gallery for each, shard-0 and so on. FOLDER may hold shards too, of which OUT gets another number. Every
    value is compared with its checksum, and the order in which videos were indexed is kept. FOLDER stays as it is, and
    a server may be using it: run it again with the server stopped, and what came or went meanwhile follows. A split
    that was stopped goes on where it is run again.

    \b
    Examples:
      framesift gallery split galleries/films galleries/three --shards 3
      framesift gallery split galleries/three galleries/five --shards 5
    """
    from .split import divide, sources_of

    sources = sources_of(folder)
    records = sum(source.reader().rows for source in sources)
    with click.progressbar(length=2 * records, label="splitting", file=sys.stderr) as bar:
        done = divide(sources, out, shards, bar.update)
    click.echo(
        f"{done.copied} records copied and {done.removed} removed; the {shards} shards have "
        f"{', '.join(map(str, done.counts))}"
    )


if __name__ == "__main__":
    try:
        split_command(prog_name="index.sh")
    except (FramesiftError, OSError) as fault:
        sys.exit(f"Error: {fault}")
