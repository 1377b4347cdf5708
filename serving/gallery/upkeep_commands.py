"""``framesift gallery compact`` and ``stats``: a gallery's files."""

from __future__ import annotations

from pathlib import Path

import click

_PATH = click.Path(path_type=Path)


@click.command("compact")
@click.argument("folder", type=_PATH)
def compact_command(folder: Path) -> None:
    """Merge the small files of the gallery in FOLDER, extend its index on ids, and drop versions that nobody reads.

    A server does so by itself, so this is for what was written without one. Writers go on meanwhile, and wait for a
    second or two at most. Versions of the last minutes stay.

    \b
    Example:
      framesift gallery compact galleries/films
    """
    from .statistics import statistics
    from .store import Gallery

    with Gallery.existing(folder) as gallery:
        before = statistics(gallery)
        gallery.compact()
        after = statistics(gallery)
    click.echo(
        f"{before.fragments} files of records became {after.fragments}, {before.versions} versions {after.versions}"
    )
    click.echo(f"{_size(before.disk)} became {_size(after.disk)}")


@click.command("stats")
@click.argument("folder", type=_PATH)
def stats_command(folder: Path) -> None:
    """Show how the gallery in FOLDER lies on disk: its files, removed rows, index, versions, cache and writer.

    Where it was calibrated for a coarse stage, also what that finds, and how the gallery has changed since.

    \b
    Example:
      framesift gallery stats galleries/films
    """
    from .calibration import Calibration
    from .drift import drift_of, told_of
    from .statistics import statistics
    from .store import Gallery

    gallery = Gallery.existing(folder)
    found, calibration = statistics(gallery), Calibration.read(folder)
    facts = {
        "videos": f"{found.count}" + (f" in {found.records} records" if found.records != found.count else ""),
        "removed": f"{found.removed} rows that still take room",
        "files": f"{found.fragments}, of which {found.sealed} are sealed ({found.sealed_rows} rows or more)",
        "index": f"{found.indexed} rows in {found.index_pieces} pieces, {found.unindexed} rows outside",
        "versions": f"{found.versions}",
        "on disk": f"{_size(found.disk)}, {_size(found.newest)} of which the newest version reads",
        "cache": _size(found.cache) if found.cache else "none",
        "writer": found.writer or "none",
    }
    for name, value in facts.items():
        click.echo(f"{name:<8} {value}")
    for line in [] if calibration is None else told_of(calibration, drift_of(gallery, calibration)):
        click.echo(f"coarse   {line}")


def _size(count: int) -> str:
    return f"{count / 2**20:,.1f} MiB"
