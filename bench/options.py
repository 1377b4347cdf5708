"""Options that several measurements share."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from ..export.bundle.dependent import Dependent

Command = TypeVar("Command", bound=Callable[..., Any])

FOLDER = click.Path(file_okay=False, path_type=Path)
MODELS = ("demo", "vit-b32")
# Of measurements by a user; those in ``bench/results`` are framesift's own.
OWN = Path("bench-results")

bundle_argument = click.argument("bundle", required=False, type=FOLDER)
model_option = click.option(
    "--model",
    cls=Dependent,
    bars=("BUNDLE",),
    type=click.Choice(MODELS),
    default=MODELS[0],
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


def videos_option(default: int = 10_000, least: int = 10, **others: Any) -> Callable[[Command], Command]:
    """``--videos``: the size of a gallery; ``others`` go to ``Dependent``."""
    return click.option(
        "--videos",
        cls=Dependent,
        **others,
        default=default,
        show_default=True,
        type=click.IntRange(least),
        help="Size of the gallery.",
    )


def _writable(ctx: click.Context, parameter: click.Parameter, value: Path) -> Path:
    """The folder, refused before anything is measured if it can't be made or written to."""
    there = next(folder for folder in (value, *value.absolute().parents) if folder.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise click.BadParameter(f"{value} can't be written to")
    return value


results_option = click.option(
    "--results",
    type=FOLDER,
    default=OWN,
    show_default=True,
    callback=_writable,
    help="Folder that rows are added to; `framesift bench report` draws them.",
)


def pattern(ctx: click.Context, parameter: click.Parameter, value: str) -> str:
    """Callback of an option that is a regular expression."""
    try:
        re.compile(value)
    except re.error as error:
        raise click.BadParameter(f"{value!r} is no regular expression: {error}") from error
    return value


def numbers(ctx: click.Context, parameter: click.Parameter, value: str) -> tuple[int, ...]:
    """Callback of an option that lists whole numbers from 1 on, with commas between them."""
    try:
        found = tuple(int(part) for part in value.split(","))
    except ValueError as error:
        raise click.BadParameter(f"{value!r}: give whole numbers with commas between them") from error
    if min(found) < 1:
        raise click.BadParameter("every number must be at least 1")
    return found


def names_of(known: tuple[str, ...]) -> Callable[[click.Context, click.Parameter, str], tuple[str, ...]]:
    """Callback of an option that lists some of ``known``, with commas between them."""

    def chosen(ctx: click.Context, parameter: click.Parameter, value: str) -> tuple[str, ...]:
        found = tuple(dict.fromkeys(part.strip() for part in value.split(",")))
        if unknown := [name for name in found if name not in known]:
            raise click.BadParameter(f"{', '.join(unknown)}: it must be some of {', '.join(known)}")
        return found

    return chosen


def duration(ctx: click.Context, parameter: click.Parameter, value: str) -> float:
    """Callback of an option that is a time, as 90s, 9m or 1h: seconds."""
    unit = {"s": 1, "m": 60, "h": 3600}.get(value[-1:])
    try:
        return float(value[:-1]) * unit if unit else float(value)
    except ValueError as error:
        raise click.BadParameter(f"{value!r} is no time: give it as 90s, 9m or 1h") from error
