"""Writers of a gallery are killed, at named points and at any: what was acknowledged is there, and whole."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from framesift.errors import FramesiftError
from framesift.serving.gallery.store import Gallery

from .gallery_rows import entry, manifest, numbers
from .gallery_writer import SURVIVED
from .requests import chance_of
from .table import Progress, Row

ROOT = Path(__file__).parents[2]
WRITE = ("write: file made", "write: bytes written", "write: fsync", "write: commit", "acknowledge")
MERGE = ("merge: bytes written", "merge: commit", "merge: removal")
# A third of the rounds ends at a random moment, with merges beside the writers.
POINTS = (*WRITE, *MERGE, *["random"] * ((len(WRITE) + len(MERGE)) // 2))
_ROUNDS_PER_GALLERY = 25


def attack(folder: Path, count: int, seed: int, progress: Progress) -> list[Row]:
    """So many rounds of two writers, in galleries below ``folder``."""
    kept = Row("killed writers: what was acknowledged is there, and nothing else but what was begun")
    whole = Row("killed writers: no video is torn or there twice")
    further = Row("killed writers: the gallery takes further videos")
    ends: Counter[str] = Counter()
    with writers() as kill:
        for number in range(count):
            place = folder / f"gallery-{seed}-{number // _ROUNDS_PER_GALLERY}"
            place.mkdir(parents=True, exist_ok=True)
            chance = chance_of(seed, "kills", number)
            point = POINTS[number % len(POINTS)]
            where = f"round {number} of seed {seed}, killed at {point}"
            names = [f"a{number}", f"b{number}"]
            # Merges need some files to merge.
            kill(place, names, point, chance.randint(5, 9) if point in MERGE else chance.randint(0, 7), number)
            noted = [_lines(place / name) for name in names]
            survived = any(SURVIVED in lines for lines in noted)
            # Whoever fails before it writes is lost in no other way.
            began = point == "random" or any(noted)
            ends[f"{point} (never reached)" if survived else point] += 1
            try:
                with Gallery.open(place / "gallery", manifest()) as gallery:
                    found, wrong = numbers(gallery)
                    lost = _lost(place, found) if began else ["what a writer wrote"]
                    kept.see(not lost, f"{lost[:3]} after {where}")
                    whole.see(not wrong, f"{wrong[:3]} after {where}")
                    gallery.add([entry("further", number, gallery.schema)])
                    further.see(numbers(gallery)[0].get("further") == number, f"not there after {where}")
            except FramesiftError as error:
                further.see(False, f"{error} after {where}")
            if number % _ROUNDS_PER_GALLERY == _ROUNDS_PER_GALLERY - 1:
                shutil.rmtree(place)
            progress(1)
    kept.worst = ", ".join(f"{point} {seen}" for point, seen in sorted(ends.items()))
    return [kept, whole, further]


def _lost(place: Path, found: dict[str, int]) -> list[str]:
    """What is not as the writers' notes say."""
    wrong = []
    for path in place.glob("[ab]*"):
        # What each id may be: a number, or None where it is not there.
        may: dict[str, set[int | None]] = {}
        begun: tuple[str, int | None] | None = None
        for line in _lines(path):
            words = line.split()
            if words[0] == "begun":
                begun = words[2], int(words[3]) if words[1] == "+" else None
                may.setdefault(begun[0], {None}).add(begun[1])
            elif words[0] == "done" and begun is not None:
                may[begun[0]] = {begun[1]}
        wrong += [f"{id_} is {found.get(id_)}, not {want}" for id_, want in may.items() if found.get(id_) not in want]
    return wrong


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


@contextmanager
def writers() -> Iterator:
    """Starts the program of ``gallery_writer``, and gives a function that has processes of it killed."""
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "tests.attacks.gallery_writer"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None

    def kill(
        folder: Path,
        names: list[str],
        point: str,
        after: int,
        seed: float,
        task: str = "",
        meanwhile: Callable[[], object] = lambda: None,
    ) -> None:
        told = {"folder": str(folder), "names": names, "point": point, "after": after, "seed": seed, "task": task}
        process.stdin.write(json.dumps(told) + "\n")
        process.stdin.flush()
        meanwhile()
        assert process.stdout.readline() == "killed\n"

    try:
        yield kill
    finally:
        process.kill()
        process.communicate()
