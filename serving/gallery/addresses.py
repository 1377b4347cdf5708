"""Where a gallery may lie: in a folder of this machine."""

from __future__ import annotations

import os
import re
from pathlib import Path

from ...export.bundle.errors import GalleryError

# A path that went through pathlib has one slash left of "s3://".
_REMOTE = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/")


def local_folder(path: str | os.PathLike[str]) -> Path:
    """The folder that ``path`` names.

    Raises:
        GalleryError: it is an address, such as ``s3://bucket/films``. Two machines that write the same object storage
            have no lock in common, and would lose each other's videos.
    """
    if found := _REMOTE.match(os.fspath(path)):
        raise GalleryError(
            f"a gallery can't lie at {path}: {found[1]} is an address and a gallery needs a folder of this machine, "
            "where writers can lock one another out. Keep it in a folder, and copy that for a backup"
        )
    return Path(path)
