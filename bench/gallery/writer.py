"""A process that writes into a gallery as a server's ``gallery_index`` does, and whoever tells it what to write.

python -m framesift.bench.gallery.writer FOLDER FILMS VIDEOS, which reads commands from its standard input, one a line.
"""

from __future__ import annotations

import hashlib
import json
import os
import select
import subprocess
import sys
import time
from datetime import timedelta
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from ...export.bundle.errors import FramesiftError
from ...export.bundle.models import INDEX_BATCH

if TYPE_CHECKING:
    from ...serving.gallery.rows import Row
    from ...serving.gallery.store import Gallery
    from .world import Films

# How ``gallery_index`` gives way to searches; see ``repository.plan``.
_NICE = 10
# Replacements of a commit where their disk is measured: some leave more files behind than many.
_FEW = 16
# Records that are made beforehand, because making them is the encoder's work.
_MADE = 512
_LOOKS = 50


class Replacing:
    """Records in the place of videos of a gallery, drawn at random, each with a digest of its own."""

    def __init__(self, gallery: Gallery, films: Films, videos: int) -> None:
        from ...export.bundle.ports import FRAME_VECTORS, GRAM_TABLE, MEAN_EMBEDDING
        from .world import records

        made = records(films, 0, _MADE, version=2)
        self._made = dict(zip((FRAME_VECTORS, GRAM_TABLE, MEAN_EMBEDDING), made, strict=True))
        self._gallery, self._videos = gallery, videos
        self._drawn, self._number = np.random.default_rng(videos), count()

    def rows(self, wanted: int) -> list[Row]:
        """So many, checked as those of requests are."""
        return [self._row(number) for number in self._drawn.integers(0, self._videos, wanted).tolist()]

    def _row(self, number: int) -> Row:
        from ...serving.gallery.rows import GalleryEntry
        from .records import id_of

        made, frames = next(self._number), self._gallery.schema.frames
        tensors = {name: values[made % _MADE] for name, values in self._made.items()}
        digest = hashlib.sha256(f"{number} {made}".encode()).digest()
        return self._gallery.row(GalleryEntry(id_of(number), tensors, np.linspace(0, 10, frames), 10, digest))


def offer(gallery: Gallery, records: Replacing, rate: float, seconds: float) -> dict[str, Any]:
    """Write as many records a second, all that are due in one commit, as a batch gathers while another is written."""
    begun, written, errors, wanted = time.monotonic(), 0, list[str](), int(rate * seconds)
    while (left := wanted - written - len(errors)) > 0:
        due = int((time.monotonic() - begun) * rate) + 1 - (wanted - left)
        if due < 1:
            time.sleep(1 / rate)
            continue
        rows = records.rows(min(due, INDEX_BATCH, left))
        try:
            gallery.write(rows)
            written += len(rows)
        except FramesiftError as error:
            errors += [str(error)] * len(rows)
    return {"written": written, "seconds": time.monotonic() - begun, "errors": errors[:3], "version": gallery.version}


def replace(gallery: Gallery, records: Replacing, wanted: int) -> dict[str, Any]:
    """Write as many records as fast as they are taken, and look at the disk meanwhile."""
    begun, seen, before = time.monotonic(), list[int](), disk(gallery.root)
    for start in range(0, wanted, _FEW):
        gallery.write(records.rows(min(_FEW, wanted - start)))
        if start // _FEW % max(1, wanted // _FEW // _LOOKS) == 0:
            seen.append(disk(gallery.root))
    seconds = time.monotonic() - begun
    gallery.close()
    return {"seconds": seconds, "before": before, "highest": max(seen), "after": disk(gallery.root)}


def disk(root: Path) -> int:
    """Bytes of a gallery's table, whatever version they are of."""
    found = 0
    for folder, _, names in os.walk(root / "videos.lance"):
        for name in names:
            try:
                found += (Path(folder) / name).stat().st_size
            except FileNotFoundError:
                continue
    return found


def main(root: Path, films: Films, videos: int) -> None:
    """Answer commands, each with a line of JSON, until there are no more."""
    from ...serving.gallery.store import Gallery

    os.nice(_NICE)
    gallery = Gallery.existing(root)
    records = Replacing(gallery, films, videos)
    for line in sys.stdin:
        told = json.loads(line)
        answer: dict[str, Any] = {}
        if "retain" in told:
            gallery.close()
            gallery = Gallery.existing(root, timedelta(seconds=told["retain"]))
        elif "seconds" in told:
            answer = offer(gallery, records, told["rate"], told["seconds"])
        elif "replace" in told:
            answer = replace(gallery, records, told["replace"])
        else:
            gallery.close()
        print(json.dumps(answer), flush=True)


class Writer:
    """The process, as whoever started it has it."""

    def __init__(self, root: Path, films: Films, videos: int) -> None:
        command = [sys.executable, "-m", "framesift.bench.gallery.writer", str(root), films, str(videos)]
        # As the server starts its models.
        env = {**os.environ, "MALLOC_ARENA_MAX": "1", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def tell(self, **command: object) -> None:
        """Have it begin with a command, one after the other."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()

    @property
    def done(self) -> bool:
        """Whether it has answered, or ended."""
        assert self._process.stdout is not None
        return bool(select.select([self._process.stdout], [], [], 0)[0])

    def answer(self) -> dict[str, Any]:
        """What it says of the command, once it is done."""
        assert self._process.stdout is not None
        if not (line := self._process.stdout.readline()):
            raise RuntimeError(f"the writer ended with {self._process.wait()}")
        found: dict[str, Any] = json.loads(line)
        return found

    def ask(self, **command: object) -> dict[str, Any]:
        """``tell`` and ``answer``."""
        self.tell(**command)
        return self.answer()

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._process.kill()
        self._process.communicate()


if __name__ == "__main__":
    main(Path(sys.argv[1]), cast("Films", sys.argv[2]), int(sys.argv[3]))
