"""``framesift quantise``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..bundle.dependent import Dependent

if TYPE_CHECKING:
    from .int8 import Scheme

_FOLDER = click.Path(file_okay=False, path_type=Path)


def calibration_options(*bars: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """``--videos`` and ``--captions``: whose ranking a lower precision is judged by; see ``Dependent`` for ``bars``."""
    videos = click.option(
        "--videos",
        cls=Dependent,
        needs=("--captions",),
        bars=bars,
        type=_FOLDER,
        help="Your own videos, by which the gate judges.  [default: generated clips]",
    )
    captions = click.option(
        "--captions",
        cls=Dependent,
        needs=("--videos",),
        bars=bars,
        type=click.Path(dir_okay=False, path_type=Path),
        help="Their captions, in a form that `framesift evaluate` reads.",
    )
    return lambda command: videos(captions(command))


@click.command("quantise")
@click.argument("bundle", type=_FOLDER)
@click.option("--out", required=True, type=_FOLDER, help="The quantised bundle's folder, to be made.")
@calibration_options()
@click.option(
    "--scheme",
    default="static",
    show_default=True,
    type=click.Choice(("static", "dynamic")),
    help="Ranges of activations: measured beforehand, or anew in every batch.",
)
@click.option("--overwrite", is_flag=True, help="Replace a bundle that is there already.")
def quantise_command(
    bundle: Path, out: Path, videos: Path | None, captions: Path | None, scheme: Scheme, overwrite: bool
) -> None:
    """Make a bundle whose towers run in 8 bits on a CPU, for the embedded server.

    Up to 200 videos are ranked by it and by BUNDLE. Where the ranking suffers, blocks go back to float32, one after
    another; where half of them don't suffice, no bundle is written. Its records are not BUNDLE's, so it needs a gallery
    of its own. Give your own videos where the model was not trained on generated shapes: ranges of activations come
    from them.

    \b
    Example:
      framesift quantise bundles/mine --videos videos/ --captions captions.json --out bundles/mine-int8
    """
    from ..bundle.store import Bundle
    from .calibration import calibration_inputs
    from .int8_bundle import check_float32, describe_int8, int8_bundle

    def say(line: str) -> None:
        click.echo(line, err=True)

    opened = Bundle.open(bundle)
    check_float32(opened)
    inputs = calibration_inputs(opened, videos, captions, report=say)
    made = int8_bundle(opened, out, inputs, scheme=scheme, overwrite=overwrite, report=say)
    size = sum(path.stat().st_size for path in made.root.iterdir()) / 1e6
    click.echo(f"{made.root}: {size:.1f} MB, model {made.manifest.fingerprint[:12]}")
    click.echo(describe_int8(made.manifest))
