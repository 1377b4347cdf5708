"""The command that has a gallery's videos encoded by another model: ``framesift gallery migrate``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from ..export.bundle.dependent import Dependent
from ..export.bundle.errors import FramesiftError, InvalidRequest
from .client.options import server_option

_FOLDER = click.Path(file_okay=False, path_type=Path)
_MOVED: Any = {"cls": Dependent, "needs": ("--alias",)}


@click.command("migrate")
@click.argument("old", type=_FOLDER)
@click.argument("new", type=_FOLDER)
@click.option("--bundle", required=True, type=_FOLDER, help="The bundle whose gallery NEW is or becomes.")
@click.option("--alias", help="Then have this alias of the running server answered with NEW.")
@click.option(
    "--to", **_MOVED, default="", help="With --alias: the server's model that has NEW, where several have the bundle."
)
@server_option("With --alias: the server's address.", needs=("--alias",))
@click.option("--below", type=_FOLDER, help="Read sources below this folder alone; relative ones are relative to it.")
@click.option("--addresses", is_flag=True, help="Read sources that are addresses too: whoever indexed chose them.")
@click.option("--without-failed", **_MOVED, is_flag=True, help="Move the alias though some videos can't be made again.")
@click.option(
    "--failures",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write what can't be made again, and why, to this file; NEW.failures.jsonl by default.",
)
@click.option("--jobs", type=click.IntRange(1, 4096), help="Videos at once; by default as many as processors.")
@click.option(
    "--video-limit",
    "video_limits",
    multiple=True,
    metavar="NAME=VALUE",
    help="Change a limit of videos, as of `framesift serve`; may be repeated.",
)
@click.option(
    "--timeout",
    cls=Dependent,
    needs=("--addresses",),
    type=click.FloatRange(1),
    default=600,
    show_default=True,
    help="With --addresses: seconds for one of them.",
)
def migrate_command(
    old: Path,
    new: Path,
    bundle: Path,
    alias: str | None,
    to: str,
    server: str,
    below: Path | None,
    addresses: bool,
    without_failed: bool,
    failures: Path | None,
    jobs: int | None,
    video_limits: tuple[str, ...],
    timeout: float,
) -> None:
    """Make the videos of the gallery OLD again for another model, into the gallery NEW.

    Every video is read from its source, which must have the content that it had, and keeps its id and metadata. OLD
    may be served and written to meanwhile; what comes, goes or changes there is followed. Run the same command again
    to go on after a stop, however it stopped: what NEW has is not made again.

    With --alias, a server that has both models, as `framesift serve films=bundles/a:OLD next=bundles/b:NEW`, has its
    alias answered with NEW in the end: writers of OLD wait for that moment, and every search is answered by one or the
    other. Give the bundle and NEW to the alias when the server is started next.

    It ends with status 1 where videos can't be made again. They are listed; then the alias stays where it is.

    \b
    Examples:
      framesift gallery migrate galleries/old galleries/new --bundle bundles/new
      framesift gallery migrate galleries/old galleries/new --bundle bundles/new --alias films
    """
    from ..export.bundle.video.limits import VideoLimits
    from .client.index_report import Report
    from .gallery.shard import Shard
    from .indexing.here import Run
    from .migration.handover import Handover
    from .migration.migrate import Migration, migrate

    try:
        limits = VideoLimits.from_environment().with_settings(video_limits)
    except InvalidRequest as error:
        raise click.UsageError(str(error)) from error
    listed = failures or new.with_name(f"{new.name}.failures.jsonl")
    run = Run((), "path", bundle, new, limits, Shard(0, 1), jobs=jobs, timeout_s=timeout, failures=listed)
    report = Report(fail_fast=False, failures=listed, doing="migrating")
    handover = None if alias is None else Handover(server, alias, to, without_failed)
    if not migrate(Migration(old, run, below, addresses), report, handover):
        sys.exit(1)


if __name__ == "__main__":
    try:
        migrate_command(prog_name="index.sh")
    except (FramesiftError, OSError) as fault:
        sys.exit(f"Error: {fault}")
