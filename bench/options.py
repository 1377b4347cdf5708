"""Options that several measurements share."""

from __future__ import annotations

from pathlib import Path

import click

FOLDER = click.Path(file_okay=False, path_type=Path)

bundle_argument = click.argument("bundle", required=False, type=FOLDER)
model_option = click.option(
    "--model",
    type=click.Choice(["demo", "vit-b32"]),
    default="demo",
    show_default=True,
    help="Instead of BUNDLE: the demo's, or one of the paper's size with random weights.",
)
work_option = click.option(
    "--work",
    default="work/bench",
    show_default=True,
    type=FOLDER,
    help="Keeps bundles and galleries from one run to the next.",
)
results_option = click.option("--results", type=FOLDER, help="Folder to add rows to. [default: they are only printed]")
