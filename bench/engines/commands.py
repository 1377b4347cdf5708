"""``framesift bench engines``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..options import pattern, results_option, work_option

if TYPE_CHECKING:
    from ..schema.rows import Engine


@click.command("engines")
@click.option("--systems", default="", callback=pattern, help="Only systems that match this pattern, as 'demo|xclip'.")
@work_option
@results_option
def engines_command(systems: str, work: Path, results: Path) -> None:
    """Build engines of every system with TensorRT for RTX, which needs no GPU.

    The demo's, those of every published system with small random weights, and of the reference model on ViT-B/32. Rows
    hold sizes and build times, or the builder's reason where there is no engine. No engine is run: that takes a GPU.

    \b
    Example:
      framesift bench engines --systems demo
    """
    from ..schema.files import write
    from ..schema.machine import here
    from .build import PACKAGES, bundles, engines, line

    def rows() -> Iterator[Engine]:
        for name, bundle in bundles(work / "engines", re.compile(systems).search, click.echo):
            for row in engines(name, bundle):
                click.echo(line(row))
                yield row

    click.echo(f"rows in {write('engines', rows(), results, here(PACKAGES))}")
