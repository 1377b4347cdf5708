"""The command that asks a gallery: ``framesift search``."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from ...export.bundle.dependent import Dependent
from ...export.bundle.errors import InvalidRequest
from ...export.bundle.limits import MAX_TOP
from .metadata_lines import decoded
from .options import model_option, server_option, where_option
from .printable import json_line, printable

if TYPE_CHECKING:
    from .results import Hit, SearchResult, Shortlist
    from .sync import Client

_QUOTED = 60
_NAMED = 3


@click.command("search")
@click.argument("texts", nargs=-1)
@server_option("The server's gRPC address.")
@model_option()
@click.option(
    "--like",
    metavar="ID|FILE",
    help="Search with this video of the gallery, or with this film, image or feature file, alone or beside one text.",
)
@click.option(
    "--segment",
    cls=Dependent,
    needs=("--like",),
    type=click.IntRange(0),
    help="Which segment of the film of --like, from 0; --json tells it.",
)
@click.option(
    "--weight",
    cls=Dependent,
    needs=("--like",),
    type=click.FloatRange(0, 1),
    help="The share of --like beside a text.  [default: 0.5]",
)
@click.option(
    "--include", cls=Dependent, needs=("--like",), is_flag=True, help="Let the video of --like be a hit itself."
)
@click.option("--top", type=click.IntRange(1, MAX_TOP), default=10, show_default=True, help="Videos per query.")
@click.option(
    "--candidates",
    type=click.File("rb"),
    help="Search only among the videos of the ids in this file, one a line; - is standard input.",
)
@where_option("Search only among the videos that this filter lets through.")
@click.option("--min-score", type=float, help="Leave out hits of a lower score.")
@click.option(
    "--offset",
    cls=Dependent,
    bars=("--after",),
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Leave out so many of the best hits.",
)
@click.option("--segments", is_flag=True, help="Show every segment of a film for itself, and not the film's best one.")
@click.option("--after", help='The "next" of the page before, from --json; for one query.')
@click.option("--partial", is_flag=True, help="Of a gallery in shards: take what some find where others don't answer.")
@click.option("--timeout", type=click.FloatRange(0), default=30, show_default=True, help="Seconds for an answer.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per query and line.")
def search_command(
    texts: tuple[str, ...],
    server: str,
    model: str | None,
    like: str | None,
    segment: int | None,
    weight: float | None,
    include: bool,
    top: int,
    candidates: IO[bytes] | None,
    where: str | None,
    min_score: float | None,
    offset: int,
    segments: bool,
    after: str | None,
    partial: bool,
    timeout: float,
    as_json: bool,
) -> None:
    """Search for videos by text; - reads queries from standard input, one a line.

    The moment is the time of the frame with the most attention; not every model has it. What --like names is looked for
    in the gallery first and then among your files; a file is sent, decoded and kept nowhere.

    \b
    Examples:
      framesift search "a dog catches a frisbee" --top 5
      framesift search "a dog catches a frisbee" --candidates ids.txt
      framesift search "a dog catches a frisbee" --where "duration < 30 and tags has 'sport'" --min-score 0.2
      framesift search --like dogs/frisbee.mp4
      framesift search --like film.mp4 --segment 12
      framesift search "in the snow" --like beach.jpg --weight 0.3
      framesift search "a dog catches a frisbee" --segments --where "id = 'film.mp4'"
    """
    from .sync import Client

    queries = [query for text in texts for query in (_lines() if text == "-" else [text])]
    if not queries and like is None:
        raise click.UsageError("no query on standard input" if texts else "give a text, --like, or both")
    if like is not None and len(queries) > 1:
        raise click.UsageError("--like is beside one text: ask for several one by one")
    ids = None
    if candidates is not None:
        ids = [line.strip() for line in decoded(candidates, "candidates'") if line.strip()]
    if after and len(queries) > 1:
        raise click.UsageError("--after is for one query: ask for the next pages of several one by one")
    asked: dict[str, Any] = {
        "candidates": ids,
        "where": where,
        "min_score": min_score,
        "offset": offset,
        "facts": True,
        "segments": segments,
        "partial": partial,
    }
    with Client(server, timeout, model=model) as client:
        if like is None and not after:
            results = client.search_many(queries, top, **asked)
        else:
            text, found = queries[0] if queries else None, None if like is None else _found(client, like)
            asked |= {"like": found, "segment": segment, "weight": weight, "include": include, "after": after or None}
            results = [client.search(text, top, **asked)]
    for place, result in enumerate(results):
        if result.cut:
            shown = printable(result.query[:_QUOTED])
            click.echo(f"longer than the model reads, so its end was left out: {shown} ...", err=True)
        if result.missing:
            click.echo(f"without the videos of shards that don't answer: {', '.join(result.missing)}", err=True)
        if result.shortlist is not None:
            click.echo(origin(result.shortlist), err=True)
        if as_json:
            click.echo(json_line(result.to_dict()))
        else:
            if len(results) > 1:
                click.echo(f"{chr(10) if place else ''}{result.query}")
            click.echo(table(result, offset, plain=where is None and ids is None))


def _found(client: Client, like: str) -> str | Path:
    """What ``--like`` names: the id of a video of the gallery, or else a file."""
    if like in client.lookup([like]).digests:
        return like
    if os.path.exists(like):
        click.echo(f"searching with the file {printable(like)}", err=True)
        return Path(like)
    raise InvalidRequest(f"the gallery has no video {like[:100]!r}, and there is no file of that name")


def table(result: SearchResult, offset: int = 0, *, plain: bool = True) -> str:
    """The hits of one query as aligned text, the first of rank ``offset`` + 1.

    A ``plain`` search is among all videos: where these are none, the gallery is empty.
    """
    if not result.hits:
        if result.shortlist is not None:
            found = "none of the candidates is in the gallery" if result.shortlist.chosen else "there are no candidates"
            return f"{found}: index videos with `framesift index`"
        empty = plain and not result.among
        return "the gallery is empty: index videos with `framesift index`" if empty else "no video was found"
    columns = [
        ["rank", *(str(rank) for rank in range(offset + 1, offset + len(result.hits) + 1))],
        ["score", *(f"{hit.score:.4f}" for hit in result.hits)],
    ]
    if all(hit.moment is not None for hit in result.hits):
        columns.append(["moment", *(f"{hit.moment:.1f} s" for hit in result.hits)])
    if any(hit.segment is not None for hit in result.hits):
        columns.append(["segment", *(_segment(hit) for hit in result.hits)])
    aligned = [[cell.rjust(max(map(len, column))) for cell in column] for column in columns]
    # The ids come last: their width on a terminal is not their number of characters.
    aligned.append(["id", *(printable(hit.id) for hit in result.hits)])
    return "\n".join("  ".join(row) for row in zip(*aligned, strict=True))


def _segment(hit: Hit) -> str:
    """Which segment of its film a hit is, as --segment takes it, and where that lies."""
    return "" if hit.segment is None else f"{hit.segment}: {hit.start:g} to {hit.end:g} s"


def origin(shortlist: Shortlist) -> str:
    """One line that says which model chose the candidates, and what either gallery lacks."""
    told = f"candidates: {shortlist.chosen}, chosen by {shortlist.system} model {shortlist.fingerprint[:12]}"
    if shortlist.missing:
        some = ", ".join(shortlist.missing[:_NAMED]) + (", ..." if len(shortlist.missing) > _NAMED else "")
        told += f"; {len(shortlist.missing)} are not in the gallery and were left out: {some}"
    if shortlist.unlisted:
        told += f"; {shortlist.unlisted} videos of the gallery can't be chosen, because that model's gallery lacks them"
    return printable(told)


def _lines() -> list[str]:
    return [line.strip() for line in sys.stdin if line.strip()]
