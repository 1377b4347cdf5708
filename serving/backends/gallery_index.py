"""Video records into the gallery."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...export.bundle.errors import FramesiftError
from ...export.bundle.packing import unpack_row
from ...export.bundle.ports import (
    COUNT,
    DIGEST,
    DURATION,
    ID,
    METADATA,
    SOURCE,
    TIMESTAMPS,
    VERSION,
    VIDEO_ENCODER,
)
from ...export.bundle.store import read_manifest
from ..gallery.environment import gallery_from_env
from ..gallery.rows import GalleryEntry, Row
from ..gallery.store import Gallery
from .base import Arrays, Backend


class GalleryIndex(Backend):
    """Reads records, float32 [B, ...] per tensor, with their facts; writes ``version`` and ``count`` int64 [B, 1].

    A video that came as features has no ``timestamps`` and no ``duration``.

    Once a request is answered its videos survive the death of every process.
    """

    gallery: Gallery

    def setup(self, config: dict[str, Any], folder: Path) -> None:
        """Open the gallery, or make it."""
        manifest = read_manifest(folder)
        self._tensors = [port.name for port in manifest.graphs[VIDEO_ENCODER].outputs]
        self.gallery = gallery_from_env(manifest)

    def run(self, inputs: Sequence[Mapping[str, np.ndarray[Any, Any]]]) -> list[Arrays | FramesiftError]:
        """All requests in one commit, but for those that can't be kept."""
        read = [self._read(request) for request in inputs]
        rows = [row for found in read if isinstance(found, list) for row in found]
        if not rows:
            return [found for found in read if isinstance(found, FramesiftError)]
        try:
            commit = self.gallery.write(rows)
        except FramesiftError as error:
            return [found if isinstance(found, FramesiftError) else error for found in read]
        return [
            found
            if isinstance(found, FramesiftError)
            else {
                VERSION: np.full((len(found), 1), commit.version, np.int64),
                COUNT: np.full((len(found), 1), commit.count, np.int64),
            }
            for found in read
        ]

    def finalize(self) -> None:
        """Let the gallery's compaction end."""
        self.gallery.close()

    def _read(self, request: Mapping[str, np.ndarray[Any, Any]]) -> list[Row] | FramesiftError:
        try:
            return [self.gallery.row(self._entry(request, place)) for place in range(len(request[ID]))]
        except FramesiftError as error:
            return error

    def _entry(self, request: Mapping[str, np.ndarray[Any, Any]], place: int) -> GalleryEntry:
        return GalleryEntry(
            id=unpack_row(request[ID][place], ID),
            tensors={name: request[name][place] for name in self._tensors},
            timestamps=request[TIMESTAMPS][place] if TIMESTAMPS in request else np.zeros(1, np.float32),
            duration=float(request[DURATION][place, 0]) if DURATION in request else 0.0,
            digest=request[DIGEST][place].tobytes(),
            source=unpack_row(request[SOURCE][place], SOURCE),
            metadata=unpack_row(request[METADATA][place], METADATA),
        )
