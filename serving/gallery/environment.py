"""Where the served models find their gallery."""

from __future__ import annotations

import os

from ...export.bundle.errors import GalleryError
from ...export.bundle.manifest import Manifest
from ...export.bundle.models import EMBEDDED_VARIABLE, GALLERY_VARIABLE
from .reader import Reader
from .schema import GallerySchema
from .shards import is_split, open_shards
from .store import Gallery


def readers_from_env(manifest: Manifest) -> list[Reader]:
    """A reader of that gallery, or of each of its shards, in their order.

    Raises:
        GalleryError: as of ``gallery_from_env``.
    """
    folder = os.environ.get(GALLERY_VARIABLE, "")
    if folder and is_split(folder):
        return [shard.reader() for shard in open_shards(folder, GallerySchema.of(manifest))]
    return [gallery_from_env(manifest).reader()]


def gallery_from_env(manifest: Manifest, variable: str = GALLERY_VARIABLE) -> Gallery:
    """The gallery in the folder that the environment names, by a variable.

    Raises:
        GalleryError: the variable is not set, or ``Gallery.open`` can't open it.
    """
    folder = os.environ.get(variable)
    if not folder:
        raise GalleryError(f"{variable} is not set: it names the gallery's folder")
    # The embedded server's launcher makes the gallery. One that is missing later was removed, and an empty one in its
    # place would answer as if nothing had ever been indexed.
    return Gallery.open(folder, manifest, create=EMBEDDED_VARIABLE not in os.environ)
