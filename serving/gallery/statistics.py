"""How a gallery lies on disk."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from .failures import gallery_failures
from .lock import writer
from .merging import sealed_rows
from .store import CACHE, LOCK, Gallery
from .table import INDEX, TABLE, open_table, parts


@dataclass(frozen=True)
class Statistics:
    """Numbers of a gallery.

    Attributes:
        count: videos.
        records: of them; a film that is cut has one for each segment.
        removed: rows that are no videos any more and take room until their fragment is merged.
        fragments: of the newest version; ``sealed`` of them have ``sealed_rows`` rows or more.
        indexed: rows that the index on ids covers, in ``index_pieces`` pieces; ``unindexed`` are looked through.
        versions: those that can still be read.
        disk: bytes of all files, ``newest`` of the newest version's records, ``cache`` of the cache for searches.
        writer: who holds the lease, empty where nobody does.
    """

    count: int
    records: int
    removed: int
    fragments: int
    sealed: int
    sealed_rows: int
    indexed: int
    index_pieces: int
    unindexed: int
    versions: int
    disk: int
    newest: int
    cache: int
    writer: str


def together(shards: Sequence[Statistics]) -> Statistics:
    """Numbers of a gallery in shards: sums, and every shard's writer."""
    rows = [asdict(shard) for shard in shards]
    sums = {name: sum(row[name] for row in rows) for name, value in rows[0].items() if isinstance(value, int)}
    writers = [f"{shard.writer} (shard {number})" for number, shard in enumerate(shards) if shard.writer]
    return Statistics(**{**sums, "sealed_rows": shards[0].sealed_rows, "writer": ", ".join(writers)})


def statistics(gallery: Gallery) -> Statistics:
    """How ``gallery`` lies on disk now.

    Raises:
        GalleryError: it can't be read.
    """
    with gallery_failures(f"looking into the gallery in {gallery.root}"):
        table = open_table(gallery.root)
        held = parts(table).values()
        index = table.stats.index_stats(INDEX) if table.describe_indices() else {}
        least = sealed_rows(gallery.schema.row_bytes) // 2
        data = gallery.root / TABLE / "data"
        return Statistics(
            count=gallery.count,
            records=int(table.count_rows()),
            removed=sum(part.rows - part.live for part in held),
            fragments=len(held),
            sealed=sum(part.rows >= least for part in held),
            sealed_rows=least,
            indexed=int(index.get("num_indexed_rows", 0)),
            index_pieces=int(index.get("num_segments", 0)),
            unindexed=int(index.get("num_unindexed_rows", 0)),
            versions=len(list((gallery.root / TABLE / "_versions").glob("*.manifest"))),
            disk=_bytes(gallery.root.rglob("*")),
            newest=_bytes(data / part.file for part in held),
            cache=_bytes(gallery.root.glob(f"{CACHE}*")),
            writer=writer(gallery.root / LOCK),
        )


def _bytes(files: Iterable[Path]) -> int:
    total = 0
    for file in files:
        # Files may go while they are counted, and the cache has holes.
        try:
            found = file.lstat()
        except OSError:
            continue
        total += found.st_blocks * 512
    return total
