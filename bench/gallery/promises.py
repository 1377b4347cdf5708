"""What is promised of a gallery, by figure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ...export.bundle.storage_names import Storage
from ...serving.gallery.merging import SEALED_BYTES
from ...serving.gallery.schema import GallerySchema
from ..schema.rows import GalleryFigure
from .beside import ERRORS, SLOWER, TAKEN, offered
from .bound import VIOLATIONS
from .figures import COARSE_CANDIDATES, COARSE_FASTER, COARSE_RECALL, DIFFERENT, FASTER, RESCORED
from .records import manifest
from .replaced import DISK, HIGHEST, SHARE
from .scanned import LISTED, ONE, TWO
from .world import Films

# From this size on a search takes so long that what is constant in it doesn't matter.
_LARGE = 100_000


@dataclass(frozen=True)
class Promise:
    """The least or the most that a figure may be."""

    least: float | None = None
    most: float | None = None

    def kept(self, value: float) -> bool:
        """Whether a value is within it."""
        return (self.least is None or value >= self.least) and (self.most is None or value <= self.most)

    def __str__(self) -> str:
        return f"at least {self.least:g}" if self.least is not None else f"at most {self.most:g}"


_ALWAYS: Mapping[str, Promise] = {
    "import, records a second": Promise(least=5000),
    # Where others want the processor too.
    "import, records a processor second": Promise(least=4000),
    "commit of a new record, times one at 10,000": Promise(most=1.3),
    "lookup of 4,096 ids, times one at 10,000": Promise(most=2.0),
    "memory at load, times resident and 128 MiB": Promise(most=1.1),
    "first answer without a cache, s": Promise(most=60),
    "first answer with a warm cache, s": Promise(most=2),
    "new video searchable, s": Promise(most=1),
    "removal seen, s": Promise(most=1),
    LISTED: Promise(most=3),
    ERRORS: Promise(most=0),
}


def promises(storage: Storage, films: Films, videos: int) -> Mapping[str, Promise]:
    """What is promised of a gallery of so many videos, those of a coarse stage among it."""
    large, moments = videos >= _LARGE, films == "moments"
    # Files of a quarter of a GiB are written again as a whole, which is much of a small gallery.
    files = 0 if videos >= 1_000_000 else 2 * SEALED_BYTES / (videos * GallerySchema.of(manifest()).row_bytes)
    found = {
        **_ALWAYS,
        **dict.fromkeys((ONE, TWO), Promise(most=1.1 if large else 1.5)),
        TAKEN: Promise(least=0.95 * offered(videos)),
        # Of a small gallery a commit takes longer than a search.
        SLOWER: Promise(most=1.5 if large else 4),
        DISK: Promise(most=1.5 + files),
        HIGHEST: Promise(most=1.75 + files),
        SHARE: Promise(least=0.1),
        COARSE_FASTER: Promise(least=2 if moments else 5),
        COARSE_RECALL: Promise(least=0.98),
        COARSE_CANDIDATES: Promise(most=0.1),
    }
    if storage == "float16":
        return found
    # Where shots are far apart, more is left that has to be looked at.
    certified = {FASTER: Promise(least=1.3 if moments else 1.5), DIFFERENT: Promise(most=0)}
    return {**found, **certified, RESCORED: Promise(most=0.05), VIOLATIONS: Promise(most=0)}


def figure(videos: int, storage: Storage, films: Films, name: str, value: float) -> GalleryFigure:
    """A figure beside what is promised of it."""
    promise = promises(storage, films, videos)[name]
    return GalleryFigure(
        figure=name,
        videos=videos,
        storage=storage,
        films=films,
        value=round(value, 4),
        promise=str(promise),
        kept=promise.kept(value),
    )
