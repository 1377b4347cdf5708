"""The command that fills a gallery: ``framesift index``."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Any, get_args

import click

from ...export.bundle.errors import AccessDenied, DeadlineExceeded, InvalidRequest, ServerUnavailable
from .discover import Found, IdFrom, Named
from .metadata_lines import decoded, read_metadata
from .options import server_option
from .printable import printable

if TYPE_CHECKING:
    from .indexing import Outcome
    from .results import Served
    from .sync import Client


@click.command("index")
@click.argument("paths", nargs=-1, required=True)
@server_option("The server's gRPC address.")
@click.option(
    "--id-from",
    type=click.Choice(get_args(IdFrom)),
    default="path",
    show_default=True,
    help="What a video is called: its path below the folder given, its file name, or that without suffix.",
)
@click.option(
    "--metadata",
    type=click.File("rb"),
    help='JSON lines, {"id": ..., and what to keep with the video of that id}.',
)
@click.option("--jobs", type=click.IntRange(1, 64), default=4, show_default=True, help="Videos sent at once.")
@click.option("--timeout", type=click.FloatRange(1), default=600, show_default=True, help="Seconds for one video.")
@click.option("--force", is_flag=True, help="Index again what the gallery has already.")
@click.option("--no-cache", is_flag=True, help="Read every file, and remember no digest of it.")
@click.option("--fail-fast", is_flag=True, help="Stop at the first video that can't be indexed.")
def index_command(
    paths: tuple[str, ...],
    server: str,
    id_from: IdFrom,
    metadata: IO[bytes] | None,
    jobs: int,
    timeout: float,
    force: bool,
    no_cache: bool,
    fail_fast: bool,
) -> None:
    """Index videos: files, folders (with all folders below, but hidden ones), and quoted globs.

    Of a folder those files are read that the served model takes: films, or npz and safetensors files of features, whose
    ids are their paths without suffix.

    Videos that the gallery has already, unchanged, are skipped: run the same command again to go on after a stop. Files
    are known again by size, inode and times, which lie in ~/.cache/framesift. It ends when searches see what it
    indexed, with status 1 when a video could not be.

    \b
    Examples:
      framesift index clips/ "archive/**/*.mkv" --jobs 8
      framesift index features/
    """
    from .digests import Digests
    from .sync import Client

    try:
        named = Named.of(paths, id_from)
        facts = read_metadata(decoded(metadata)) if metadata else {}
    except InvalidRequest as error:
        raise click.UsageError(str(error)) from error
    outcomes: list[Outcome] = []
    found = named.either
    digests = Digests(None if no_cache else Digests.folder())
    try:
        with Client(server, timeout) as client:
            served = client.served()
            click.echo(where(served), err=True)
            found = _read_by(served, named)
            unused = facts.keys() - {file.id for file in found.videos}
            if unused:
                click.echo(f"metadata of {len(unused)} ids that are not indexed here, e.g. {min(unused)!r}", err=True)
            _index(client, found, facts, jobs, force, fail_fast, digests, outcomes)
            _wait_searchable(client, outcomes)
    finally:
        digests.close()
        _summarise(outcomes, len(found.videos) + len(found.refused))
    if any(outcome.status == "failed" for outcome in outcomes):
        sys.exit(1)


def where(served: Served) -> str:
    """One line that says where videos go."""
    model = f"{served.system} model {served.fingerprint[:12]}" if served.fingerprint else "a model that it doesn't name"
    videos = f"{served.count} video{'' if served.count == 1 else 's'}"
    gallery = f"the gallery {served.gallery}" if served.gallery else "its gallery"
    beside = f"; candidates are chosen by {served.shortlist}, which is filled too" if served.shortlist else ""
    return printable(f"{served.address} serves {model}, with {videos} in {gallery}{beside}")


def _read_by(served: Served, named: Named) -> Found:
    """The files of those named that the served model reads."""
    try:
        return named.read_by(films=served.reads_films, features=served.reads_features)
    except InvalidRequest as error:
        reads = "films" if served.reads_films else f"feature files of {served.arrays}"
        raise click.UsageError(f"{error}. The model at {served.address} reads {printable(reads)}") from error


class _Enough(Exception):
    """The first failure, where one is enough."""


def _index(
    client: Client,
    found: Found,
    metadata: Mapping[str, Mapping[str, Any]],
    jobs: int,
    force: bool,
    fail_fast: bool,
    digests: Any,
    outcomes: list[Outcome],
) -> None:
    from .indexing import Outcome, index_files

    start = time.monotonic()

    done = 0

    def rate(_: Outcome | None) -> str:
        return f"{done / max(time.monotonic() - start, 1e-3):.1f} videos/s"

    length = len(found.videos) + len(found.refused)
    with click.progressbar(length=length, label="indexing", file=sys.stderr, item_show_func=rate) as bar:

        def told(outcome: Outcome) -> None:
            nonlocal done
            done += outcome.status == "indexed"
            outcomes.append(outcome)
            bar.update(1, outcome)
            if fail_fast and outcome.status == "failed":
                raise _Enough

        try:
            for refused in found.refused:
                told(Outcome(refused.path, "failed", refused.reason))
            index_files(client, found.videos, told, jobs=jobs, force=force, metadata=metadata, digests=digests)
        except _Enough:
            pass


def _wait_searchable(client: Client, outcomes: Sequence[Outcome]) -> None:
    """Whoever searches next finds what was indexed; a caller who may not search need not wait."""
    indexed = [outcome.indexed for outcome in outcomes if outcome.indexed is not None]
    if not indexed:
        return
    try:
        with suppress(AccessDenied):
            client.wait_searchable(max(indexed, key=lambda one: one.version))
    except (DeadlineExceeded, ServerUnavailable) as error:
        click.echo(printable(f"all is kept in the gallery, but searches may not see it yet: {error}"), err=True)


def _summarise(outcomes: Sequence[Outcome], total: int) -> None:
    counts = {status: sum(o.status == status for o in outcomes) for status in ("indexed", "skipped", "failed")}
    left = total - len(outcomes)
    parts = [f"{count} {status}" for status, count in counts.items()] + ([f"{left} not tried"] if left else [])
    unchanged = "" if counts["indexed"] or left else ": the gallery is as it was"
    click.echo(", ".join(parts) + unchanged)
    for outcome in outcomes:
        if outcome.status == "failed":
            click.echo(f"  {printable(outcome.path)}: {printable(outcome.reason)}", err=True)
