"""``framesift gallery import`` and ``export``: many records at once."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from pathlib import Path

import click

_PATH = click.Path(path_type=Path)


@click.command("import")
@click.argument("folder", type=_PATH)
@click.argument("records", type=_PATH)
@click.option(
    "--bundle", type=click.Path(file_okay=False, path_type=Path), help="Whose records they are, for a new one."
)
@click.option("--replace", is_flag=True, help="Put records in the place of those with the same id and another digest.")
def import_command(folder: Path, records: Path, bundle: Path | None, replace: bool) -> None:
    """Bring RECORDS into the gallery in FOLDER: a Parquet file, a folder of such, a Lance table, or another gallery.

    Its columns are id, digest (SHA-256 of the file), the tensors of the model's video record as lists of floating
    numbers, and, where there are such, source, duration, timestamps and metadata (the text of a JSON object). Every
    record is checked as on the way through a server, and what has checksums is compared with them.

    What the gallery has with the same digest is passed over, so run it again to go on after a stop. A gallery that is
    not there is made for the model that an export notes, or for --bundle's. A server may be using the gallery.
    Where that is in shards, each gets the records of its ids.

    \b
    Examples:
      framesift gallery import galleries/films records.parquet
      framesift gallery import galleries/films table.lance --bundle bundles/mine
    """
    from ...export.bundle.errors import GalleryError
    from ...export.bundle.store import Bundle
    from .addresses import local_folder
    from .bulk import bring_in
    from .schema import GallerySchema
    from .sharded import Sharded
    from .shards import is_split, open_shards, shards_of
    from .sources import Records
    from .store import Gallery
    from .table import has_table

    local_folder(folder)
    found = Records.open(records)
    wanted = None if bundle is None else GallerySchema.of(Bundle.open(bundle).manifest)
    split = is_split(folder)
    if wanted is None and not split and not has_table(folder) and (wanted := found.made_for()) is None:
        raise GalleryError(
            f"there is no gallery in {folder}, and {records} does not note whose records it holds: name the model with "
            "--bundle"
        )
    begun = time.monotonic()
    with ExitStack() as stack:
        if split:
            shards = shards_of(folder) if wanted is None else open_shards(folder, wanted)
            gallery: Gallery | Sharded = Sharded([stack.enter_context(shard) for shard in shards])
        else:
            gallery = stack.enter_context(Gallery.existing(folder) if wanted is None else Gallery.made(folder, wanted))
        with click.progressbar(length=found.count, label="importing", file=sys.stderr, show_pos=True) as bar:
            done = bring_in(gallery, found, bar.update, replace=replace)
        count = gallery.count
    _tell(f"{done.added} videos imported, {done.same} were there already, {count} in all", found.count, begun)


@click.command("export")
@click.argument("folder", type=_PATH)
@click.argument("out", type=_PATH)
def export_command(folder: Path, out: Path) -> None:
    """Write all records of the gallery in FOLDER into the new OUT, a Parquet file or, as OUT.lance, a Lance table.

    Everything is in it that the gallery keeps, checksums and the model's name among it, and every value is compared
    with its checksum. `framesift gallery import` reads it. A server may be using the gallery. Where
    that is in shards, those of one follow those of another.

    \b
    Examples:
      framesift gallery export galleries/films films.parquet
      framesift gallery export galleries/films films.lance
    """
    from .bulk import hand_on
    from .split import sources_of

    readers = [gallery.reader() for gallery in sources_of(folder)]
    begun, records = time.monotonic(), sum(reader.rows for reader in readers)
    with click.progressbar(length=records, label="exporting", file=sys.stderr, show_pos=True) as bar:
        count = hand_on(readers, out, bar.update)
    _tell(f"{count} videos written to {out}", records, begun)


def _tell(what: str, count: int, begun: float) -> None:
    seconds = max(time.monotonic() - begun, 1e-3)
    click.echo(f"{what}; {count / seconds:,.0f} records a second")
