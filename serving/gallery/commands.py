"""The commands that work on a gallery's folder."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import click

from ...export.bundle.errors import GalleryError
from ...export.bundle.models import GALLERY_VARIABLE
from .bulk_commands import export_command, import_command
from .split_command import split_command
from .upkeep_commands import compact_command, stats_command, told_of_counts

# Where ids are lost, nobody can name what to remove.
_REBUILD = "Not all of them can be named: put a copy of {} back, or index all videos into a new gallery"


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
        **({"shards": told_of_counts(counts)} if is_split(folder) else {}),
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
    names. Of a gallery in shards all are read. Exits with 1 where anything has changed, and says of which videos, and
    in which shards.

    \b
    Example:
      framesift gallery verify galleries/films
    """
    from .shards import is_split
    from .split import sources_of
    from .verify import Fault, verify

    galleries = sources_of(folder)
    readers = [gallery.reader() for gallery in galleries]
    split, rows = is_split(folder), sum(reader.rows for reader in readers)
    found: list[tuple[Path, Fault]] = []
    with ExitStack() as stack, click.progressbar(length=rows, label="verifying", file=sys.stderr) as bar:
        # Reading one shard takes longer than old versions of the next ones stay.
        for reader in readers:
            stack.enter_context(reader.pinned())
        for gallery, reader in zip(galleries, readers, strict=True):
            found += [(gallery.root, fault) for fault in verify(reader, bar.update)]
    try:
        whole = f"{sum(gallery.count for gallery in galleries)} videos"
    except GalleryError:
        # What tells films from their segments can't be read.
        whole = f"{rows} records"
    for root, fault in found:
        who = "a video whose id is lost" if fault.id is None else ascii(fault.id)
        click.echo(f"{f'{root.name}: ' if split else ''}{who}: {fault.what}")
    if not found:
        shards = f" in {len(galleries)} shards" if split else ""
        click.echo(f"{whole}{shards}, none has changed since it was written")
        return
    named = [fault.id for _, fault in found if fault.id is not None]
    lost = dict.fromkeys(str(root) for root, fault in found if fault.id is None)
    step = f"Remove them and index their files again: {_removal(folder, named)}"
    raise click.ClickException(
        f"{len(found)} of {whole} have changed on disk. {_REBUILD.format(', '.join(lost)) if lost else step}"
    )


@gallery_group.command("remove")
@click.argument("folder", type=click.Path(path_type=Path))
@click.argument("ids", nargs=-1, required=True)
def remove_command(folder: Path, ids: tuple[str, ...]) -> None:
    """Remove videos by id; a running server leaves them out within a second.

    Of a gallery in shards each is removed from the shard that keeps it.

    \b
    Example:
      framesift gallery remove galleries/films old/clip.mp4
    """
    from .shard import part_of
    from .split import sources_of

    removed = left = 0
    absent: list[str] = []
    galleries = sources_of(folder)
    for number, gallery in enumerate(galleries):
        wanted = sorted({id_ for id_ in ids if part_of(id_, len(galleries)) == number})
        with gallery:
            there = gallery.lookup(wanted).digests
            left += gallery.remove(wanted).count if there else gallery.count
        removed += len(there)
        absent += [id_ for id_ in wanted if id_ not in there]
    click.echo(f"{removed} removed, {left} left")
    if absent:
        raise click.ClickException(f"not in the gallery: {', '.join(sorted(absent))}")


def _removal(folder: Path, ids: Sequence[str]) -> str:
    """The command that removes videos, with the first of them."""
    named = [shlex.quote(id_) for id_ in ids]
    shown = ["--" if any(id_.startswith("-") for id_ in named) else "", *named[:3], "..." if len(named) > 3 else ""]
    return f"framesift gallery remove {shlex.quote(str(folder))} {' '.join(filter(None, shown))}"
