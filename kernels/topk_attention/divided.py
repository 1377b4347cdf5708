"""A gallery that is divided among the devices of a machine, of which there may be one. Letters: ``layout``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TypeVar

from ..cuda.device import Device
from ..cuda.library import installed
from ..cuda.share import Share
from ..device.memory import NoRoom
from ..walk import Live
from .biases import Biases
from .certified.resident import Certified
from .layout import HeadShape
from .merging import best_of
from .operands import TextVectors
from .resident import Best, Float16, Resident, Source

T = TypeVar("T")


class DividedGallery:
    """What several devices hold of a gallery, searched as one: exact, because each finds its share's best.

    Not to be shared between threads.
    """

    def __init__(self, parts: Sequence[Resident]) -> None:
        """``parts`` are the shares 0, 1, ... of as many devices."""
        self._parts = parts
        # A thread each, because a search waits for its device several times.
        self._pool = ThreadPoolExecutor(len(parts), "gpu")

    def __len__(self) -> int:
        """Rows on all devices."""
        return sum(map(len, self._parts))

    def prepare(self) -> None:
        """Compile what searches need, for all devices; afterwards no search waits for that.

        Raises:
            CudaError, RuntimeError: a device can't run it.
        """
        for part in self._parts:
            part.prepare()

    def follow(self, source: Source, *, anew: bool) -> None:
        """Send what is new in a gallery; everything if ``anew``.

        Raises:
            NoRoom: it doesn't fit. What was there is given up, on all devices.
            CudaError: a device does not work.
        """
        try:
            self._all(lambda part: part.follow(source, anew=anew))
        except NoRoom:
            self._all(lambda part: part.give_up())
            raise

    def search(self, text: TextVectors, source: Source, n: int, live: Live | None) -> Best:
        """The ``n`` best videos, or of the ``live`` ones, bool [V], the lower row first among equals.

        Args:
            source: the gallery that was followed last.

        Raises:
            CudaError: a device does not work.
        """
        found = self._all(lambda part: part.search(text, source, n, live) if len(part) else None)
        kept = [best for best in found if best is not None]
        scores, rows = best_of([(best.scores, best.rows) for best in kept], len(text.logit), n)
        return Best(scores, rows, sum(best.scored for best in kept))

    def _all(self, call: Callable[[Resident], T]) -> list[T]:
        begun = [self._pool.submit(call, part) for part in self._parts]
        # Where one fails, nobody may touch what the others are still busy with.
        wait(begun)
        return [each.result() for each in begun]


def gallery_on_gpus(shape: HeadShape, biases: Biases | None = None) -> DividedGallery | None:
    """An empty gallery on all visible GPUs, in int8 with ``biases``; None where there is no GPU.

    Raises:
        CudaError: one does not start.
        ValueError: one that the kernels don't run on.
    """
    if (cuda := installed()) is None:
        return None
    count, parts = cuda.devices, list[Resident]()
    for number in range(count):
        device, share = Device(cuda, number), Share(number, count)
        parts.append(Float16(device, shape, share) if biases is None else Certified(device, shape, share, biases))
    return DividedGallery(parts)
