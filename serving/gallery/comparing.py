"""What two galleries of the same videos don't share."""

from __future__ import annotations

from pathlib import Path

from ...export.bundle.ports import ID
from .store import Gallery


def compared(gallery: Path, chooser: Path) -> list[str]:
    """Lines for a person about the videos that one of two galleries lacks; none where both have the same ids.

    Args:
        chooser: the gallery from which candidates are chosen for the other.

    Raises:
        GalleryError: one of them can't be read.
    """
    own, other = _ids(gallery), _ids(chooser)
    found = []
    if lacked := own - other:
        found.append(
            f"{_videos(lacked, gallery)} not in {chooser}: no search finds them that doesn't name them as candidates"
        )
    if lacked := other - own:
        found.append(
            f"{_videos(lacked, chooser)} not in {gallery}: where they are chosen, they are left out and answers say so"
        )
    return [*found, "framesift index, with this server, fills both galleries"] if found else []


def _videos(ids: set[str], root: Path) -> str:
    return f"{len(ids)} of {root}, e.g. {min(ids)!a:.100}, are"


def _ids(root: Path) -> set[str]:
    with Gallery.existing(root) as gallery:
        return {id_ for batch in gallery.reader().scan([ID]) for id_ in batch.column(ID).to_pylist()}
