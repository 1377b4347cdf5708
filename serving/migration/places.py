"""Where the source of a video lies, of which a gallery keeps what its indexer said."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from ...export.bundle.errors import InvalidRequest
from ...export.bundle.manifest import Manifest
from ...export.bundle.segments import Cutting
from ..client.discover import features_beside
from ..client.uploads import is_feature_file
from ..indexing.fetch import check_place, is_address
from ..indexing.files import reads_films
from ..indexing.video import Video
from .states import Kept


@dataclass(frozen=True)
class Places:
    """Finds sources.

    Attributes:
        below: the folder below which they lie; None for any, with relative paths below the current folder.
        addresses: whether addresses may be read: whoever may index can have named any.
        beside: whether the model reads a feature file beside a film.
    """

    below: Path | None
    addresses: bool
    beside: bool

    @staticmethod
    def of(manifest: Manifest, below: Path | None, *, addresses: bool) -> Places:
        """Places for a model."""
        return Places(below, addresses, reads_films(manifest) and manifest.features is not None)

    def video(self, kept: Kept) -> Video:
        """The video to be made again: its file must have the digest that the gallery keeps.

        Raises:
            InvalidRequest: its source names nothing that may be read, or nobody knows how it was cut.
        """
        if kept.segments > 1 and not kept.cutting:
            raise InvalidRequest(
                f"it came as {kept.segments} records of segments, and how they were cut was not told: index it from "
                "its film, with --segment-seconds"
            )
        place = self._place(kept.source)
        film = self.beside and not is_address(place) and not is_feature_file(place)
        beside = features_beside(Path(place)) if film else None
        return Video(
            kept.id,
            place,
            kept.source,
            None if beside is None else str(beside),
            kept.metadata,
            digest=kept.digest,
            cutting=Cutting.parse(kept.cutting) if kept.cutting else None,
        )

    def _place(self, source: str) -> str:
        if not source:
            raise InvalidRequest("it has no source, because it was sent as bytes: index it from a file")
        if is_address(source):
            if not self.addresses:
                raise InvalidRequest("its source is an address: say --addresses to have those read")
            return check_place(source)
        folder = os.path.abspath(self.below or "")
        path = os.path.abspath(os.path.join(folder, source))
        if self.below is not None and not Path(path).resolve().is_relative_to(self.below.resolve()):
            raise InvalidRequest(f"its source {source!a:.200} lies outside {folder}")
        if not os.path.isabs(source) and not os.path.lexists(path):
            raise InvalidRequest(
                f"its source {source!a:.200} is relative, and there is no such file in {folder}: run this where it was "
                "indexed, or give that folder with --below"
            )
        return path
