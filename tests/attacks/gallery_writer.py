"""Writers of a gallery that are killed: a program that is told of rounds on standard input, one a line.

It imports everything once and forks a writer for every name of a round. A writer notes what it begins and what was
acknowledged in a file of its name: "begun + id number" or "begun - id", and then "done".
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from datetime import timedelta
from itertools import count
from pathlib import Path

import lance  # noqa: F401

from framesift.serving.gallery import compaction, merging, store

from .gallery_rows import entry, manifest
from .gallery_tasks import LEASE, TASKS
from .points import die_at

SURVIVED = "survived"
# No point: a writer that goes on until it is killed from outside.
BESIDE = "beside"
_NEVER = 1 << 30


def write(folder: Path, name: str, point: str, after: int) -> None:
    """Write until this process is killed: at ``point`` after so many commits, or from outside."""
    _merge_often(beside=point == "random")
    gallery = store.Gallery.open(folder / "gallery", manifest())
    log = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def note(line: str) -> None:
        os.write(log, f"{line}\n".encode())

    where, _, kind = point.rpartition(": ")
    for number in count():
        if number % 4 == 3:
            id_ = f"{name}-{number - 2}"
            note(f"begun - {id_}")
        else:
            id_ = f"{name}-again" if number % 4 == 2 else f"{name}-{number}"
            note(f"begun + {id_} {number}")
        last = number == after
        if last and where == "write":
            die_at(kind)
        if number % 4 == 3:
            gallery.remove([id_])
        else:
            gallery.add([entry(id_, number, gallery.schema)])
        if last and point == "acknowledge":
            os.kill(os.getpid(), signal.SIGKILL)
        note("done")
        if last and where == "merge":
            die_at(kind)
            gallery._compaction._tidy()
        if last and point not in ("random", BESIDE):
            note(SURVIVED)
            return


def _merge_often(*, beside: bool) -> None:
    """Have few files merged already, and versions dropped at once, so that it happens within a round."""
    merging._STEPS = ((2, 3), (2, 3))
    compaction._COMMITS_PER_CHECK = 4 if beside else _NEVER
    compaction.RETAIN = timedelta(microseconds=1)


def main() -> None:
    for line in sys.stdin:
        told = json.loads(line)
        children = []
        for name in told["names"]:
            child = os.fork()
            if child == 0:
                if task := told.get("task"):
                    TASKS[task](Path(told["folder"]), told["point"], told["after"])
                    os._exit(0)
                point = told["point"] if told["point"] == "random" or name == told["names"][0] else BESIDE
                write(Path(told["folder"]), name, point, told["after"])
                os._exit(0)
            children.append(child)
        if told.get("task") == LEASE:
            # The other side ends it.
            os.waitpid(children[0], 0)
            print("killed", flush=True)
            continue
        if told["point"] == "random":
            # From before its first commit until after some merges.
            time.sleep(random.Random(told["seed"]).uniform(0.05, 0.6))
            os.kill(children[0], signal.SIGKILL)
        for child in children:
            if child != children[0]:
                os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        print("killed", flush=True)


if __name__ == "__main__":
    main()
