"""The commands that work on a gallery's folder."""

from __future__ import annotations

from pathlib import Path

import click


@click.group("gallery")
def gallery_group() -> None:
    """Look into a gallery's folder; a server may be using it.

    \b
    Example:
      framesift gallery info galleries/films
    """


@gallery_group.command("info")
@click.argument("folder", type=click.Path(path_type=Path))
def info_command(folder: Path) -> None:
    """Show whose records a gallery holds, and how many.

    \b
    Example:
      framesift gallery info galleries/films
    """
    from .store import Gallery

    gallery = Gallery.existing(folder)
    schema = gallery.schema
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    facts = {
        "videos": str(gallery.count),
        "version": str(gallery.version),
        "model": f"{schema.fingerprint} ({schema.system})",
        "record": ", ".join(f"{spec.name} {list(spec.shape)}" for spec in schema.record),
        "on disk": f"{size / 2**20:.1f} MiB",
    }
    for name, value in facts.items():
        click.echo(f"{name:<8} {value}")


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
