"""Options and outputs that the load commands share."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ..rows import OWN

if TYPE_CHECKING:
    from .target import Target
    from .windows import Row

_FOLDER = click.Path(file_okay=False, path_type=Path)
Command = TypeVar("Command", bound=Callable[..., Any])


def server_options(command: Command) -> Command:
    """BUNDLE, or ``--url``; the gallery; queries; client processes; where rows go."""
    for option in reversed(
        (
            click.argument("bundle", required=False, type=_FOLDER),
            click.option("--url", metavar="HOST:PORT", help="Load this running server (gRPC) instead of starting one."),
            click.option("--metrics", metavar="HOST:PORT", help="Metrics of the server at --url: where its CPU goes."),
            click.option(
                "--gallery-size",
                default=10_000,
                show_default=True,
                type=click.IntRange(1),
                help="Videos in the gallery that BUNDLE is served with; made at the first run, by the model itself.",
            ),
            click.option("--cache", type=_FOLDER, help="Where such galleries are kept. [default: the user's cache]"),
            click.option(
                "--queries",
                type=click.Path(exists=True, dir_okay=False, path_type=Path),
                help="Queries, one a line. [default: 4000 generated captions]",
            ),
            click.option(
                "--top",
                default=10,
                show_default=True,
                type=click.IntRange(1, 1000),
                help="Videos that a search finds.",
            ),
            click.option(
                "--clients",
                default=2,
                show_default=True,
                type=click.IntRange(1, 64),
                help="Processes that send searches; more where it is said that the clients fell behind.",
            ),
            click.option(
                "--timeout",
                default=30.0,
                show_default=True,
                type=click.FloatRange(0, min_open=True),
                help="Seconds after which a request without an answer has failed.",
            ),
            click.option(
                "--results",
                type=_FOLDER,
                default=OWN,
                show_default=True,
                help="Folder that rows are added to.",
            ),
        )
    ):
        command = option(command)
    return command


@contextlib.contextmanager
def server(
    bundle: Path | None, url: str | None, metrics: str | None, gallery_size: int, cache: Path | None
) -> Iterator[Target]:
    """The server that the options name, running while the block does.

    Raises:
        click.UsageError: they name none, or two.
    """
    from .target import embedded, existing

    if (bundle is None) == (url is None):
        raise click.UsageError("give either a BUNDLE to serve or the --url of a running server")
    with existing(url, metrics) if url is not None else embedded(Path(str(bundle)), gallery_size, cache) as target:
        yield target


def texts(file: Path | None) -> list[str]:
    """The queries of ``--queries``."""
    from . import queries

    return queries.generate() if file is None else queries.read(file)


def results(folder: Path) -> Path:
    """The folder of ``--results``, made before anything is measured.

    Raises:
        click.ClickException: it can't be made, or not written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise click.ClickException(f"--results: {error}") from error
    if not os.access(folder, os.W_OK):
        raise click.ClickException(f"--results: {folder} can't be written to")
    return folder


def show(row: Row) -> None:
    """Print what matters of a row, on one line."""
    level = f"{row['concurrency']} at once" if row["loop"] == "closed" else f"{row['offered_qps']:.1f}/s offered"
    work = row.get("work", row["scenario"])
    cells = [f"{work:>6} {level:>16}: {row['qps']:8.1f}/s"]
    cells += [f"{name[:-3]} {_number(row[name])}" for name in ("p50_ms", "p95_ms", "p99_ms", "max_ms")]
    failed = sum(row["errors"].values()) - row["refused"]
    cells += [f"{row['refused']} refused"] * bool(row["refused"]) + [f"{failed} failed"] * bool(failed)
    if row["loop"] == "open" and not row["clients_kept_up"]:
        cells.append("the clients fell behind")
    if theirs := row["perf_analyzer"]:
        told = theirs.get("failed") or " ".join(
            (f"{theirs['qps']:.1f}/s", *(f"{name[:-3]} {_number(theirs[name])}" for name in ("p50_ms", "p99_ms")))
        )
        cells.append(f"(perf_analyzer: {told})")
    click.echo("  ".join(cells))


def show_verdict(row: Row) -> None:
    """Print what held and what did not, and by which figures, where the row tells it."""
    if row.get("ended_early"):
        click.echo(f"ended early, after {row['lasted_s']:.0f} s")
    for name, held in row.get("holds", {}).items():
        click.echo(f"{name}: {'not seen' if held is None else 'yes' if held else 'NO'} ({row['because'][name]})")


@contextlib.contextmanager
def clock(label: str, seconds: float) -> Iterator[Callable[[], None]]:
    """A progress bar on standard error that follows the clock, from the first call of what it yields on."""
    started: list[float] = []
    with click.progressbar(length=int(seconds), label=label, file=sys.stderr) as bar:

        def tick() -> None:
            started.extend([] if started else [time.monotonic()])
            bar.update(min(int(time.monotonic() - started[0]), int(seconds)) - bar.pos)

        yield tick


def _number(value: float | None) -> str:
    return "    - ms" if value is None else f"{value:6.1f} ms"
