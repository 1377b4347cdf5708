"""Lance's failures as the gallery's own error."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from ...export.bundle.errors import FramesiftError, GalleryError

# Lance ends its messages with the place in its own sources, e.g. ", /home/.../reader.rs:17:20".
_PLACE = re.compile(r",\s+/\S+\.rs:\d+(:\d+)?")


@contextmanager
def gallery_failures(doing: str) -> Iterator[None]:
    """Turn whatever Lance or Arrow raises in the block into a GalleryError that says what was being done.

    Lance raises RuntimeError, ValueError, OSError and others for the same fault, depending on the layer that met it,
    so every Exception counts.
    """
    try:
        yield
    except FramesiftError:
        raise
    except Exception as error:
        reason = " ".join(_PLACE.sub("", str(error)).split()) or type(error).__name__
        raise GalleryError(f"{doing} failed: {reason[:500]}") from error
