"""The commands that work on a gallery's folder."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import click

from ...export.bundle.models import GALLERY_VARIABLE
from .bulk_commands import export_command, import_command
from .split_command import split_command
from .upkeep_commands import compact_command, stats_command

# Where ids are lost, nobody can name what to remove.
_REBUILD = "Not all of them can be named: put a copy of the folder back, or index all videos into a new gallery"


@click.group("gallery")
def gallery_group() -> None:
    """Look into a gallery's folder, fill it and empty it; a server may be using it.

    \b
    Example:
      framesift gallery info galleries/films
    """


for _command in (import_command, export_command, split_command, compact_command, stats_command):
    gallery_group.add_command(_command)


@gallery_group.command("info")
@click.argument("folder", type=click.Path(path_type=Path))
def info_command(folder: Path) -> None:
    """Show whose records a gallery holds, and how many.

    \b
    Example:
      framesift gallery info galleries/films
    """
    from .shards import is_split
    from .split import sources_of

    galleries = sources_of(folder)
    schema = galleries[0].schema
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    counts = [gallery.count for gallery in galleries]
    facts = {
        "videos": str(sum(counts)),
        **({"shards": f"{len(counts)}, of {', '.join(map(str, counts))} videos"} if is_split(folder) else {}),
        "version": str(max(gallery.version for gallery in galleries)),
        "model": f"{schema.fingerprint} ({schema.system})",
        "record": ", ".join(f"{spec.name} {list(spec.shape)}" for spec in schema.record),
        "on disk": f"{size / 2**20:.1f} MiB",
    }
    for name, value in facts.items():
        click.echo(f"{name:<8} {value}")


@gallery_group.command("verify")
@click.argument("folder", type=click.Path(path_type=Path), envvar=GALLERY_VARIABLE)
def verify_command(folder: Path) -> None:
    """Compare every value in a gallery with the checksum that was written with it.

    A search server does so too for what it reads, when it starts. Without FOLDER it is the one that FRAMESIFT_GALLERY
    names. Exits with 1 where anything has changed, and says of which videos.

    \b
    Example:
      framesift gallery verify galleries/films
    """
    from .store import Gallery
    from .verify import verify

    gallery = Gallery.existing(folder)
    reader = gallery.reader()
    with click.progressbar(length=reader.count, label="verifying", file=sys.stderr) as bar, reader.pinned():
        faults = verify(reader, bar.update)
    for fault in faults:
        click.echo(f"{'a video whose id is lost' if fault.id is None else ascii(fault.id)}: {fault.what}")
    if not faults:
        click.echo(f"{gallery.count} videos, none has changed since it was written")
        return
    named = [shlex.quote(fault.id) for fault in faults if fault.id is not None]
    shown = ["--" if any(id_.startswith("-") for id_ in named) else "", *named[:3], "..." if len(named) > 3 else ""]
    step = f"framesift gallery remove {shlex.quote(str(folder))} {' '.join(filter(None, shown))}"
    raise click.ClickException(
        f"{len(faults)} of {gallery.count} videos have changed on disk. "
        + (f"Remove them and index their files again: {step}" if len(named) == len(faults) else _REBUILD)
    )


@gallery_group.command("remove")
@click.argument("folder", type=click.Path(path_type=Path))
@click.argument("ids", nargs=-1, required=True)
def remove_command(folder: Path, ids: tuple[str, ...]) -> None:
    """Remove videos by id; a running server leaves them out within a second.

    \b
    Example:
      framesift gallery remove galleries/films old/clip.mp4
    """
    from .store import Gallery

    with Gallery.existing(folder) as gallery:
        absent = sorted(set(ids) - gallery.lookup(ids).digests.keys())
        count = gallery.remove(ids).count
    click.echo(f"{len(set(ids)) - len(absent)} removed, {count} left")
    if absent:
        raise click.ClickException(f"not in the gallery: {', '.join(absent)}")
