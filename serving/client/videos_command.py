"""The commands that look into a served gallery and change it: ``framesift videos``."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from .metadata_lines import decoded, read_metadata
from .options import model_option, server_option, where_option
from .printable import json_line, printable

if TYPE_CHECKING:
    from .results import Edited, VideoFacts

_SERVER = server_option("The server's gRPC address.")
_MODEL = model_option()
_JSON = click.option("--json", "as_json", is_flag=True, help="One JSON object per video and line.")
_TIMEOUT = click.option(
    "--timeout", type=click.FloatRange(0), default=30, show_default=True, help="Seconds for each answer."
)
_SHOWN_IDS = 5


@click.group("videos")
def videos_group() -> None:
    """List, show, change and remove the videos of a served gallery.

    `framesift gallery` works on a gallery's folder; these commands ask a server, from any machine.

    \b
    Examples:
      framesift videos list
      framesift videos delete films/old.mp4
    """


@videos_group.command("list")
@_SERVER
@_MODEL
@click.option("--top", type=click.IntRange(1), help="List no more than so many; all by default.")
@where_option("List the videos that this filter lets through.")
@_TIMEOUT
@_JSON
def list_command(
    server: str, model: str | None, top: int | None, where: str | None, timeout: float, as_json: bool
) -> None:
    """List videos as they were indexed: duration, id, how films are cut, and metadata.

    \b
    Examples:
      framesift videos list --top 20
      framesift videos list --where "not tags exists" --json
    """
    from itertools import islice

    from .sync import Client

    listed = 0
    with Client(server, timeout, model=model) as client:
        for video in islice(client.videos(where), top):
            click.echo(_line(video, as_json))
            listed += 1
    if not listed:
        empty = "the gallery is empty: index videos with `framesift index`"
        click.echo("no video fits the filter" if where else empty, err=True)


@videos_group.command("show")
@click.argument("ids", nargs=-1, required=True)
@_SERVER
@_MODEL
@_TIMEOUT
@_JSON
def show_command(ids: tuple[str, ...], server: str, model: str | None, timeout: float, as_json: bool) -> None:
    """Show what the gallery knows of videos.

    \b
    Example:
      framesift videos show films/a.mp4
    """
    from .sync import Client

    with Client(server, timeout, model=model) as client:
        found = client.describe(ids)
    for video in found:
        if video is not None:
            click.echo(_line(video, as_json) if as_json else _block(video))
    _refuse_absent([id_ for id_, video in zip(ids, found, strict=True) if video is None])


@videos_group.command("count")
@_SERVER
@_MODEL
@where_option("Count the videos that this filter lets through.")
@_TIMEOUT
def count_command(server: str, model: str | None, where: str | None, timeout: float) -> None:
    """Count the videos.

    \b
    Examples:
      framesift videos count
      framesift videos count --where "year >= 1999"
    """
    from .sync import Client

    with Client(server, timeout, model=model) as client:
        click.echo(client.count(where))


@videos_group.command("delete")
@click.argument("ids", nargs=-1, required=True)
@_SERVER
@_MODEL
@_TIMEOUT
def delete_command(ids: tuple[str, ...], server: str, model: str | None, timeout: float) -> None:
    """Remove videos by id, for good; searches leave them out within a second.

    - reads ids from standard input, one a line. It takes the role index.

    \b
    Examples:
      framesift videos delete films/old.mp4
      framesift videos delete - < ids.txt
    """
    from .sync import Client

    named = [id_ for given in ids for id_ in (_lines() if given == "-" else [given])]
    with Client(server, timeout, model=model) as client:
        edited = client.delete(named)
    _tell(edited, "removed")


@videos_group.command("update")
@click.argument("id", required=False)
@click.argument("metadata", required=False)
@click.option(
    "--metadata-file",
    type=click.File("rb"),
    help='Instead of one video: JSON lines of objects with an "id", as for `framesift index`; - is standard input.',
)
@click.option("--merge", is_flag=True, help="Lay it over what there is, name by name; null leaves a name out.")
@_SERVER
@_MODEL
@_TIMEOUT
def update_command(
    id: str | None,
    metadata: str | None,
    metadata_file: BinaryIO | None,
    merge: bool,
    server: str,
    model: str | None,
    timeout: float,
) -> None:
    """Replace the metadata of the video ID by the JSON object METADATA; searches show it within a second.

    It takes the role index.

    \b
    Examples:
      framesift videos update films/a.mp4 '{"year": 1999}' --merge
      framesift videos update --metadata-file facts.jsonl
    """
    from .sync import Client

    given = [each for each in (id, metadata) if each is not None]
    if len(given) != (2 if metadata_file is None else 0):
        raise click.UsageError("give ID and METADATA, or --metadata-file")
    changes = {str(id): _object(str(metadata))} if metadata_file is None else read_metadata(decoded(metadata_file))
    with Client(server, timeout, model=model) as client:
        edited = client.update(changes, merge=merge)
    _tell(edited, "changed")


def _line(video: VideoFacts, as_json: bool) -> str:
    if as_json:
        return json_line(video.to_dict())
    duration = "" if video.duration is None else f"{video.duration:.1f} s"
    metadata = json.dumps(dict(video.metadata), ensure_ascii=False) if video.metadata else ""
    cut = f"  ({_cut(video)})" if video.segments > 1 else ""
    return f"{duration:>10}  {printable(video.id)}{cut}  {printable(metadata)}".rstrip()


def _block(video: VideoFacts) -> str:
    facts: dict[str, Any] = {
        "id": video.id,
        "source": video.source,
        "duration": "" if video.duration is None else f"{video.duration:g} s",
        **({"cut": _cut(video)} if video.segments > 1 or video.cutting is not None else {}),
        **{f"  {name}": json.dumps(value, ensure_ascii=False) for name, value in video.metadata.items()},
    }
    return "\n".join(f"{printable(name):<10} {printable(str(value))}".rstrip() for name, value in facts.items())


def _cut(video: VideoFacts) -> str:
    how = "" if video.cutting is None else f" {video.cutting.words()}"
    return f"{video.segments} segment{'' if video.segments == 1 else 's'}{how}"


def _tell(edited: Edited, done: str) -> None:
    click.echo(f"{len(edited.changed)} {done}; the gallery has {edited.count} videos")
    _refuse_absent(edited.absent)


def _refuse_absent(ids: Sequence[str]) -> None:
    if ids:
        shown = ", ".join(map(printable, ids[:_SHOWN_IDS]))
        more = f" and {len(ids) - _SHOWN_IDS} more" if len(ids) > _SHOWN_IDS else ""
        raise click.ClickException(f"not in the gallery: {shown}{more}")


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise click.UsageError(f"METADATA is no JSON: {error}") from error
    if not isinstance(value, dict):
        raise click.UsageError('METADATA must be a JSON object, as in {"year": 1999}')
    return value


def _lines() -> Iterable[str]:
    return [line.strip() for line in sys.stdin if line.strip()]
