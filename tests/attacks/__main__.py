"""Attack framesift: `make attack`, or `python -m tests.attacks --scale 0.1 --only fuzz`.

Prints one table, and ends with status 1 if a promise fell.
"""

from __future__ import annotations

import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import click

from framesift.export.build import build_bundle
from framesift.export.bundle.store import Bundle
from framesift.export.corpus.generate import write_corpus

from .suite import ATTACKS, Field, run
from .table import rendered

ROOT = Path(__file__).parents[2]
CHECKPOINT = ROOT / "export" / "demo" / "demo.safetensors"


@click.command(help=__doc__)
@click.option("--scale", default=1.0, show_default=True, help="Share of the full length.")
@click.option("--seed", default=lambda: int(time.time()), show_default="the time", help="The same one, the same tries.")
@click.option("--only", type=click.Choice(list(ATTACKS)), multiple=True, help="Some attacks alone.")
@click.option("--bundle", type=click.Path(path_type=Path), help="Serve this bundle; by default the demo's is exported.")
def main(scale: float, seed: int, only: tuple[str, ...], bundle: Path | None) -> None:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="framesift-attacks-")))
        if bundle is None:
            click.echo("exporting the demo's bundle", err=True)
            opened = build_bundle(CHECKPOINT, folder / "bundle", options={})
        else:
            opened = Bundle.open(bundle)
        clips = write_corpus(folder / "videos", 24, "test", 3)
        field = stack.enter_context(Field.open(opened, clips, folder))
        rows = []
        for name in only or ATTACKS:
            count = ATTACKS[name].count(scale)
            with click.progressbar(length=count, label=f"{name:<12}", file=sys.stderr, show_pos=True) as bar:
                rows += run(name, field, count, seed, bar.update)
    click.echo(rendered(rows))
    click.echo(f"seed {seed}, scale {scale:g}")
    sys.exit(any(row.fell for row in rows))


if __name__ == "__main__":
    main()
