"""A process that opens a gallery as a search's does, answers once, and says what that took.

python -m framesift.bench.gallery.restart FOLDER
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from pathlib import Path

_BEGUN = time.monotonic()


def main(folder: Path) -> None:
    """Print seconds and bytes as JSON, then wait for a line, so that a cache can be finished, and end."""
    from ...export.bundle.scorers import scorer_of
    from ...serving.gallery.store import CACHE, Gallery
    from ...serving.search.snapshot import Snapshot
    from ...serving.search.topk_ranking import TopKRanker
    from .queries import text
    from .records import manifest

    model = manifest()
    ranker = TopKRanker(model)
    gallery = Gallery.existing(folder)
    gallery.version  # noqa: B018 - Lance starts its threads at the first use.
    before = _status("VmRSS")
    opened = time.monotonic()
    snapshot = Snapshot(gallery.reader(), _read(model), scorer_of(model).lanes, cache=folder / CACHE)
    loaded = time.monotonic()
    peak = _status("VmHWM")
    ranked = ranker.rank(snapshot.view, text(1), [10])
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


def _read(model: object) -> list[str]:
    from ...export.bundle.ports import FRAME_VECTORS, GRAM_TABLE

    return [FRAME_VECTORS, GRAM_TABLE]


def _status(name: str) -> int:
    """Bytes that the kernel tells of this process."""
    found = re.search(rf"^{name}:\s*(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024


if __name__ == "__main__":
    main(Path(sys.argv[1]))
