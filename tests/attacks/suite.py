"""Every attack by its name, with its full length, in the order in which they run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from framesift.export.bundle.store import Bundle

from . import (
    exposure,
    fairness,
    features,
    files,
    floods,
    fuzz,
    gallery_kills,
    gallery_restarts,
    impatient,
    kills,
    large_video,
    v1,
    videos,
)
from .table import Progress, Row
from .target import Target, served


@dataclass
class Field:
    """What is attacked: a served bundle, which starts when the first attack needs it, and a folder.

    Attributes:
        patience: how many times longer than promised searches may take, on a machine that does other things too.
    """

    bundle: Bundle
    clips: Sequence[Any]
    folder: Path
    patience: float = 1.0
    _stack: ExitStack = field(default_factory=ExitStack)
    _target: Target | None = None

    @staticmethod
    @contextmanager
    def open(bundle: Bundle, clips: Sequence[Any], folder: Path, patience: float = 1.0) -> Iterator[Field]:
        """Whatever was started is stopped in the end."""
        with ExitStack() as stack:
            yield Field(bundle, clips, folder, patience, stack)

    @property
    def target(self) -> Target:
        """The server, complete."""
        if self._target is None:
            self._target = self._stack.enter_context(served(self.bundle, self.clips, Path(mkdtemp(dir=self.folder))))
        self._target.wait()
        return self._target


@dataclass(frozen=True)
class Attack:
    """One attack; ``full`` is how many tries it makes at full length, and ``least`` how many at any."""

    full: int
    run: Callable[[Field, int, int, Progress], list[Row]]
    least: int = 1

    def count(self, scale: float) -> int:
        """The tries of a run of this scale."""
        return max(self.least, round(self.full * scale))


def run(name: str, field: Field, count: int, seed: int, progress: Progress) -> list[Row]:
    """The promises that an attack of ``count`` tries has tested."""
    return ATTACKS[name].run(field, count, seed, progress)


def _exposure(field: Field, count: int, seed: int, progress: Progress) -> list[Row]:
    rows = [*large_video.attack(field.target), *exposure.attack(field.target)]
    progress(count)
    return rows


ATTACKS: Mapping[str, Attack] = {
    "fuzz": Attack(100_000, lambda f, count, seed, bar: fuzz.attack(f.target, count, seed, bar), 100),
    "v1": Attack(20_000, lambda f, count, seed, bar: v1.attack(f.target, count, seed, bar), 200),
    "impatient": Attack(200_000, lambda f, count, seed, bar: impatient.attack(f.target, count, seed, bar), 100),
    "videos": Attack(1500, lambda f, count, seed, bar: videos.attack(f.target, count, seed, bar)),
    "features": Attack(
        1500, lambda f, count, seed, bar: features.attack(Path(mkdtemp(dir=f.folder)), count, seed, bar)
    ),
    "fairness": Attack(3000, lambda f, count, seed, bar: fairness.attack(f.target, count, bar, f.patience), 120),
    "floods": Attack(2000, lambda f, count, seed, bar: floods.attack(f.target, count, bar, f.patience), 20),
    "exposure": Attack(1, _exposure),
    "kills": Attack(90, lambda f, count, seed, bar: kills.attack(f.target, count, bar, f.patience), 3),
    "files": Attack(20_000, lambda f, count, seed, bar: files.attack(Path(mkdtemp(dir=f.folder)), count, seed, bar), 4),
    "restarts": Attack(300, lambda f, count, seed, bar: gallery_restarts.attack(f.folder, count, seed, bar), 6),
    "gallery": Attack(300, lambda f, count, seed, bar: gallery_kills.attack(f.folder, count, seed, bar), 3),
}
