"""Two bundles that search together: one whose gallery chooses candidates, and one that reads every pair of them.

A system that reads every text and video together may have no vector by which videos could be chosen. Its authors score
every pair; where that takes too long, another system's exact search over the same ids may choose.
"""

from __future__ import annotations

from pathlib import Path

from .errors import BundleError
from .manifest import Manifest
from .scorers import scan_limit, scorer_of, shortlist_size
from .store import MANIFEST, read_manifest

# The folder, beside a served bundle's own files, with those of the bundle that chooses its candidates.
FOLDER = "shortlist"
# Begins the names of its models and, where both take part, of its tensors.
PREFIX = "shortlist_"


def chooser_in(folder: Path) -> Manifest | None:
    """The manifest of the bundle that chooses candidates for the one served from ``folder``; None where none does.

    Raises:
        BundleError: it can't be read.
    """
    chooser = folder / FOLDER
    return read_manifest(chooser) if (chooser / MANIFEST).is_file() else None


def check_chooser(manifest: Manifest, chooser: Manifest) -> None:
    """Whether the model of ``chooser`` can choose candidates for that of ``manifest``.

    Raises:
        BundleError: the one needs nobody to choose, the other can't, or both want a feature file of a video.
    """
    if scan_limit(manifest) is None or shortlist_size(manifest) is not None:
        raise BundleError(
            f"{manifest.system} finds videos by vectors of its own: serve it without --shortlist-from, which is for "
            "models that read every text and video together"
        )
    if scorer_of(chooser).search == "shortlist":
        raise BundleError(
            f"{chooser.system} reads texts and videos together itself, so it can't choose from a whole gallery: give "
            "--shortlist-from the bundle of a model with a vector for each, such as CLIP4Clip's meanP"
        )
    if manifest.features is not None and chooser.features is not None:
        raise BundleError(
            f"{manifest.system} and {chooser.system} both read a feature file of every video, and a request has one: "
            "give --shortlist-from the bundle of a model that reads films alone"
        )


def most_chosen(manifest: Manifest) -> int:
    """How many candidates are chosen for a text: as many as the model reads at most.

    Raises:
        BundleError: a model that reads any number.
    """
    limit = scan_limit(manifest)
    if limit is None:
        raise BundleError(f"{manifest.system} reads any number of videos for a text")
    return limit
