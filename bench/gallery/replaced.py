"""What a gallery takes of the disk while its videos are replaced, one by one and at random, as the server merges it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta

from ...serving.gallery.compaction import RETAIN
from ...serving.gallery.store import Gallery
from ...serving.gallery.table import open_table, parts
from .beside import offered
from .world import Films
from .writer import Writer

DISK = "disk after videos were replaced, times the gallery"
HIGHEST = "disk at its most while videos are replaced, times the gallery"
SHARE = "videos replaced, share of an hour's at what is offered"
_HOUR_S = 3600
# Of the videos, so that a tenth of every sealed file is removed and it is written again; at most so many.
_SHARE, _MOST = 0.3, 300_000
_FIRST = 20


def replaced(
    gallery: Gallery, films: Films, videos: int, wanted: int | None, told: Callable[[str], object]
) -> Iterator[tuple[str, float]]:
    """Figures of replacements as fast as they go, which press an hour into less.

    Old versions are kept for three minutes, so they are kept here for as many replacements as come in three minutes.

    Args:
        wanted: how many; by default 0.3 of the videos.
    """
    count = wanted or min(_MOST, int(_SHARE * videos))
    Gallery.existing(gallery.root, timedelta(0)).compact()
    size = _bytes(gallery)
    with Writer(gallery.root, films, videos) as writer:
        first = max(1, count // _FIRST)
        rate = first / writer.ask(replace=first)["seconds"]
        retain = RETAIN.total_seconds() * offered(videos) / rate
        told(f"{count} replacements, about {rate:.0f} a second; old versions are kept for {retain:.1f} s")
        writer.ask(retain=retain)
        done = writer.ask(replace=count - first)
    told(f"{size >> 20} MiB of videos; {done['highest'] >> 20} MiB at most and {done['after'] >> 20} MiB in the end")
    yield DISK, done["after"] / size
    yield HIGHEST, done["highest"] / size
    yield SHARE, count / (offered(videos) * _HOUR_S)


def _bytes(gallery: Gallery) -> int:
    """Of the data of videos that are there, without those that were removed."""
    held = parts(open_table(gallery.root)).values()
    data = gallery.root / "videos.lance" / "data"
    return int(sum((data / part.file).stat().st_size * part.live / part.rows for part in held))
