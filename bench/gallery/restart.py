"""A process that opens a gallery as a search's does, answers once, and says what that took.

python -m framesift.bench.gallery.restart FOLDER STORAGE FILMS
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from ...export.bundle.own_memory import own_bytes

if TYPE_CHECKING:
    from ...export.bundle.storage_names import Storage
    from .world import Films

_BEGUN = time.monotonic()


def main(folder: Path, storage: Storage, films: Films) -> None:
    """Print seconds and bytes as JSON, then wait for a line, so that a cache can be finished, and end."""
    from ...export.bundle.scorers import scorer_of
    from ...serving.gallery.store import CACHE, Gallery
    from ...serving.search.certified_ranking import derived_of
    from ...serving.search.rankers import ranker_of
    from ...serving.search.snapshot import Snapshot
    from .records import manifest
    from .world import texts

    model = manifest(storage)
    ranker, read = ranker_of(model, folder)
    text = texts(films, np.array([3]))
    gallery = Gallery.existing(folder)
    gallery.version  # noqa: B018 - Lance starts its threads at the first use.
    before = own_bytes("VmRSS")
    opened = time.monotonic()
    snapshot = Snapshot(gallery.reader(), read, scorer_of(model).lanes, cache=folder / CACHE, derived=derived_of(model))
    loaded = time.monotonic()
    peak = own_bytes("VmHWM")
    ranked = ranker.rank(snapshot.view, text, [10])
    answered = time.monotonic()
    arrays = [*snapshot.view.tensors.values(), snapshot.view.timestamps]
    told = {
        "videos": snapshot.view.count,
        "found": len(ranked[0].rows),
        "import_s": opened - _BEGUN,
        "load_s": loaded - opened,
        "answer_s": answered - opened,
        "peak": peak - before,
        "resident": sum(array.nbytes for array in arrays) + 8 * snapshot.view.count,
    }
    print(json.dumps(told), flush=True)
    sys.stdin.readline()
    os._exit(0)


if __name__ == "__main__":
    main(Path(sys.argv[1]), cast("Storage", sys.argv[2]), cast("Films", sys.argv[3]))
