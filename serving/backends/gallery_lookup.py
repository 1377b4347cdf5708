"""Which videos the gallery has, by id."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...export.bundle.checks import DIGEST_BYTES
from ...export.bundle.errors import FramesiftError, InvalidRequest
from ...export.bundle.limits import MAX_IDS
from ...export.bundle.models import SHORTLIST_VARIABLE
from ...export.bundle.packing import unpack_joined
from ...export.bundle.ports import COUNT, DIGESTS, ID_LENGTHS, IDS, PRESENT, VERSION
from ...export.bundle.shortlist import chooser_in
from ...export.bundle.store import read_manifest
from ..gallery.environment import gallery_from_env
from ..gallery.store import Gallery
from .base import Arrays, Backend


class GalleryLookup(Backend):
    """Reads N ids joined in ``ids`` uint8 [W] with ``id_lengths`` int32 [N]; N may be 0.

    Writes ``present`` bool [N], the files' ``digests`` uint8 [N, 32] (zeros where absent), and the gallery's
    ``count`` and ``version`` int64 [1]. Where another gallery chooses candidates, a video is present that both
    galleries have of the same file; count and version are the main gallery's.
    """

    gallery: Gallery
    chooser: Gallery | None = None

    def setup(self, config: dict[str, Any], folder: Path) -> None:
        """Open the gallery, or make it."""
        self.gallery = gallery_from_env(read_manifest(folder))
        if (chooser := chooser_in(folder)) is not None:
            self.chooser = gallery_from_env(chooser, SHORTLIST_VARIABLE)

    def run(self, inputs: Sequence[Mapping[str, np.ndarray[Any, Any]]]) -> list[Arrays | FramesiftError]:
        """Each request on its own."""
        return [self._one(request) for request in inputs]

    def _one(self, request: Mapping[str, np.ndarray[Any, Any]]) -> Arrays | FramesiftError:
        asked = request[ID_LENGTHS].size
        if asked > MAX_IDS:
            return InvalidRequest(f"{asked} ids in one request, the limit is {MAX_IDS}: ask in parts")
        try:
            ids = unpack_joined(request[IDS], request[ID_LENGTHS], IDS)
            found = self.gallery.lookup(ids)
            other = found if self.chooser is None else self.chooser.lookup(ids)
        except FramesiftError as error:
            return error
        digests = dict(found.digests.items() & other.digests.items())
        rows = [digests.get(id_) for id_ in ids]
        joined = b"".join(row or bytes(DIGEST_BYTES) for row in rows)
        return {
            PRESENT: np.array([row is not None for row in rows], np.bool_),
            DIGESTS: np.frombuffer(joined, np.uint8).reshape(len(ids), DIGEST_BYTES),
            COUNT: np.array([found.count], np.int64),
            VERSION: np.array([found.version], np.int64),
        }
