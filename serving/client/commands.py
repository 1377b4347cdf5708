"""The commands that talk to a server: index and search."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any, get_args

import click

from ...export.bundle.errors import InvalidRequest
from ...export.bundle.limits import MAX_TOP
from .discover import IdFrom, NamedVideo, discover
from .options import server_option

if TYPE_CHECKING:
    from .indexing import Outcome
    from .results import SearchResult
    from .sync import Client

_server_option = server_option("The server's gRPC address.")


@click.command("index")
@click.argument("paths", nargs=-1, required=True)
@_server_option
@click.option(
    "--id-from",
    type=click.Choice(get_args(IdFrom)),
    default="path",
    show_default=True,
    help="What a video is called: its path below the folder given, its file name, or that without suffix.",
)
@click.option(
    "--metadata",
    type=click.File(encoding="utf-8"),
    help='JSON lines, {"id": ..., and what to keep with the video of that id}.',
)
@click.option("--jobs", type=click.IntRange(1, 64), default=4, show_default=True, help="Videos sent at once.")
@click.option("--timeout", type=click.FloatRange(1), default=600, show_default=True, help="Seconds for one video.")
@click.option("--force", is_flag=True, help="Index again what the gallery has already.")
@click.option("--fail-fast", is_flag=True, help="Stop at the first video that can't be indexed.")
def index_command(
    paths: tuple[str, ...],
    server: str,
    id_from: IdFrom,
    metadata: Any,
    jobs: int,
    timeout: float,
    force: bool,
    fail_fast: bool,
) -> None:
    """Index videos: files, folders (with all folders below), and quoted globs.

    Videos that the gallery has already, unchanged, are skipped: run the same command again to go on after a stop. Exits
    with 1 when a video could not be indexed.

    \b
    Example:
      framesift index clips/ "archive/**/*.mkv" --jobs 8
    """
    from .sync import Client

    try:
        files = discover(paths, id_from)
        facts = read_metadata(metadata) if metadata else {}
    except InvalidRequest as error:
        raise click.UsageError(str(error)) from error
    unused = facts.keys() - {file.id for file in files}
    if unused:
        click.echo(f"metadata of {len(unused)} ids that are not indexed here, e.g. {min(unused)!r}", err=True)
    outcomes: list[Outcome] = []
    try:
        with Client(server, timeout) as client:
            _index(client, files, facts, jobs, force, fail_fast, outcomes)
    finally:
        _summarise(outcomes, len(files))
    if any(outcome.status == "failed" for outcome in outcomes):
        sys.exit(1)


@click.command("search")
@click.argument("texts", nargs=-1, required=True)
@_server_option
@click.option("--top", type=click.IntRange(1, MAX_TOP), default=10, show_default=True, help="Videos per query.")
@click.option("--timeout", type=click.FloatRange(0), default=30, show_default=True, help="Seconds for an answer.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per query and line.")
def search_command(texts: tuple[str, ...], server: str, top: int, timeout: float, as_json: bool) -> None:
    """Search for videos by text; - reads queries from standard input, one a line.

    The moment is the time of the frame with the most attention; not every model has it.

    \b
    Example:
      framesift search "a dog catches a frisbee" --top 5
    """
    from .sync import Client

    queries = [query for text in texts for query in (_lines() if text == "-" else [text])]
    if not queries:
        raise click.UsageError("no query on standard input")
    with Client(server, timeout) as client:
        results = client.search_many(queries, top)
    for place, result in enumerate(results):
        if as_json:
            click.echo(json.dumps(result.to_dict(), ensure_ascii=False))
        else:
            if len(results) > 1:
                click.echo(f"{chr(10) if place else ''}{result.query}")
            click.echo(table(result))


def table(result: SearchResult) -> str:
    """The hits of one query as aligned text."""
    if not result.hits:
        return "the gallery is empty: index videos with `framesift index`"
    columns = [
        ["rank", *(str(rank) for rank in range(1, len(result.hits) + 1))],
        ["score", *(f"{hit.score:.4f}" for hit in result.hits)],
    ]
    if all(hit.moment is not None for hit in result.hits):
        columns.append(["moment", *(f"{hit.moment:.1f} s" for hit in result.hits)])
    aligned = [[cell.rjust(max(map(len, column))) for cell in column] for column in columns]
    # The ids come last: their width on a terminal is not their number of characters.
    aligned.append(["id", *(hit.id for hit in result.hits)])
    return "\n".join("  ".join(row) for row in zip(*aligned, strict=True))


def read_metadata(lines: Iterator[str]) -> dict[str, dict[str, Any]]:
    """Metadata by id, from JSON lines of objects that have an ``id``.

    Raises:
        InvalidRequest: a line that is no such object, or an id that comes twice.
    """
    found: dict[str, dict[str, Any]] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            values = json.loads(line)
            id_ = values.pop("id")
        except (ValueError, AttributeError, KeyError, TypeError) as error:
            raise InvalidRequest(f'the metadata\'s line {number} is no JSON object with an "id": {error!r}') from error
        if not isinstance(id_, str) or id_ in found:
            raise InvalidRequest(f"the metadata's line {number} has the id {id_!r}: it must be a text, and new")
        found[id_] = values
    return found


def _index(
    client: Client,
    files: Sequence[NamedVideo],
    metadata: Mapping[str, Mapping[str, Any]],
    jobs: int,
    force: bool,
    fail_fast: bool,
    outcomes: list[Outcome],
) -> None:
    from .indexing import index_files

    start = time.monotonic()

    def rate(_: Outcome | None) -> str:
        done = sum(outcome.status == "indexed" for outcome in outcomes)
        return f"{done / max(time.monotonic() - start, 1e-3):.1f} videos/s"

    with (
        click.progressbar(length=len(files), label="indexing", file=sys.stderr, item_show_func=rate) as bar,
        closing(index_files(client, files, jobs=jobs, force=force, metadata=metadata)) as found,
    ):
        for outcome in found:
            outcomes.append(outcome)
            bar.update(1, outcome)
            if fail_fast and outcome.status == "failed":
                break


def _summarise(outcomes: Sequence[Outcome], total: int) -> None:
    counts = {status: sum(o.status == status for o in outcomes) for status in ("indexed", "skipped", "failed")}
    left = total - len(outcomes)
    parts = [f"{count} {status}" for status, count in counts.items()] + ([f"{left} not tried"] if left else [])
    click.echo(", ".join(parts))
    for outcome in outcomes:
        if outcome.status == "failed":
            click.echo(f"  {outcome.file.path}: {outcome.reason}", err=True)


def _lines() -> list[str]:
    return [line.strip() for line in sys.stdin if line.strip()]
