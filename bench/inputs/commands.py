"""``framesift bench checkpoint``."""

from __future__ import annotations

import shlex
from pathlib import Path

import click


@click.command("checkpoint", short_help="Random weights of a system's published size.")
@click.argument("name", metavar="SYSTEM")
@click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="Folder of the files.")
@click.option("--films", is_flag=True, help="With the networks by which HowTo100M reads films.")
def checkpoint_command(name: str, out: Path, films: bool) -> None:
    """Write a checkpoint of SYSTEM with random weights, of the size and in the form of its authors'.

    What a model takes to export, to index and to search does not depend on its weights, so it can be measured before
    they are there. Prints the command that exports it. A system with variants is named with one: "clip4clip seqTransf".

    \b
    Examples:
      framesift bench checkpoint table --out checkpoints/table
      framesift bench checkpoint "all_in_one both" --out checkpoints/all-in-one
      framesift bench checkpoint howto100m --films --out checkpoints/howto100m
    """
    from .checkpoints import write_published

    options = write_published(name, out, films=films)
    click.echo(shlex.join(["framesift", "export", *options, "--out", str(out / "bundle")]))
