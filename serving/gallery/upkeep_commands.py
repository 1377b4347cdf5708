"""``framesift gallery compact`` and ``stats``: the files of a gallery, or of all its shards."""

from __future__ import annotations

from collections.abc import Sequence
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
    from .split import sources_of
    from .statistics import statistics, together

    galleries = sources_of(folder)
    before = together([statistics(gallery) for gallery in galleries])
    for gallery in galleries:
        with gallery:
            gallery.compact()
    after = together([statistics(gallery) for gallery in galleries])
    click.echo(
        f"{before.fragments} files of records became {after.fragments}, {before.versions} versions {after.versions}"
    )
    click.echo(
        f"{_size(before.disk)} became {_size(after.disk)}, {_size(after.newest)} of which the newest version reads; "
        "versions of the last minutes stay"
    )


@click.command("stats")
@click.argument("folder", type=_PATH)
def stats_command(folder: Path) -> None:
    """Show how the gallery in FOLDER lies on disk: its files, removed rows, index, versions, cache and writer.

    Where it was calibrated for a coarse stage, also what that finds, and how the gallery has changed since. Of one in
    shards the numbers are of all together, but for coarse stages, of which each has its own; name the folder of one for
    its numbers.

    \b
    Example:
      framesift gallery stats galleries/films
    """
    from .calibration import Calibration
    from .drift import drift_of, told_of
    from .shards import is_split
    from .split import sources_of
    from .statistics import statistics, together

    galleries = sources_of(folder)
    each = [statistics(gallery) for gallery in galleries]
    split = is_split(folder)
    found = together(each) if split else each[0]
    pieces = "piece" if found.index_pieces == 1 else "pieces"
    facts = {
        **({"shards": told_of_counts([shard.count for shard in each])} if split else {}),
        "videos": f"{found.count}" + (f" in {found.records} records" if found.records != found.count else ""),
        "removed": f"{found.removed} rows that still take room",
        "files": f"{found.fragments}, of which {found.sealed} are sealed ({found.sealed_rows} rows or more)",
        "index": f"{found.indexed} rows in {found.index_pieces} {pieces}, {found.unindexed} rows outside",
        "versions": f"{found.versions}",
        "on disk": f"{_size(found.disk)}, {_size(found.newest)} of which the newest version reads",
        "cache": _size(found.cache) if found.cache else "none",
        "writer": found.writer or "none",
    }
    for name, value in facts.items():
        click.echo(f"{name:<8} {value}")
    calibrations = [Calibration.read(gallery.root) for gallery in galleries]
    for gallery, calibration in zip(galleries, calibrations, strict=True):
        if calibration is not None:
            lines = told_of(calibration, drift_of(gallery, calibration))
        else:
            lines = ["never calibrated, so --coarse is refused"] if any(calibrations) else []
        for line in lines:
            click.echo(f"coarse   {f'{gallery.root.name}: ' if split else ''}{line}")


def told_of_counts(counts: Sequence[int]) -> str:
    """How many shards there are, and how many videos each has."""
    return f"{len(counts)}, of {', '.join(map(str, counts))} videos"


def _size(count: int) -> str:
    return f"{count / 2**20:,.1f} MiB"
