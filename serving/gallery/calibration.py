"""What a gallery's coarse stage may do: the figures of its calibration, a file beside the table."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from ...export.bundle.errors import GalleryError, GalleryMismatch
from ...export.bundle.limits import MAX_FRAMES, MAX_TOP

FILE = "coarse.json"
_FORMAT = 1
_LARGEST_FILE = 64 << 10
_LARGEST_COUNT = 1 << 48
_LONGEST = 200


@dataclass(frozen=True)
class Calibration:
    """By how much a coarse stage may be trusted, measured against the exact search of the gallery as it was.

    Attributes:
        fingerprint: of the gallery's model.
        version: of the gallery, which had ``videos`` then, each segment of a film counted.
        made: when, in UTC, as ISO 8601 has it.
        texts: by how many it was measured, and ``origin`` where they came from.
        top: of so many best hits; searches for more are exact.
        wished: the recall that was asked for.
        recall: the share of the texts' ``top`` best videos, films among them, that the coarse stage led to.
        frames: averages of a video that are scored first.
        candidates: of the best of them so many are scored exactly.
        speed: times as fast as the exact search, one text at a time.

    Raises:
        ValueError: values that no calibration has.
    """

    fingerprint: str
    version: int
    videos: int
    made: str
    texts: int
    origin: str
    top: int
    wished: float
    recall: float
    frames: int
    candidates: int
    speed: float

    def __post_init__(self) -> None:
        for field in fields(self):
            value, fits = getattr(self, field.name), _FITS[field.type]
            if not fits(value):
                raise ValueError(f"{field.name} is {value!a:.60}")
        if self.frames > MAX_FRAMES or self.top > MAX_TOP or self.candidates > self.videos:
            raise ValueError(f"{self.frames} frames, {self.candidates} of {self.videos} videos, {self.top} hits")
        if not 0 < self.wished <= 1 or self.recall > 1:
            raise ValueError(f"recalls of {self.wished} and {self.recall}")

    def candidates_of(self, count: int) -> int:
        """How many videos of a gallery of ``count`` are scored exactly: the same share of one that has grown."""
        return math.ceil(self.candidates * max(1.0, count / self.videos))

    @staticmethod
    def read(root: Path) -> Calibration | None:
        """The calibration of the gallery in a folder; None where there is none.

        Raises:
            GalleryError: a file that is none.
        """
        path = root / FILE
        try:
            if path.stat().st_size > _LARGEST_FILE:
                raise ValueError("it is too large")
            told: Any = json.loads(path.read_text(encoding="utf-8"))
            if not isinstance(told, dict) or told.pop("format", None) != _FORMAT:
                raise ValueError("it is of another format")
            return Calibration(**told)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, RecursionError) as error:
            raise GalleryError(f"{path} is no calibration ({str(error)[:_LONGEST]}): {_AGAIN}") from error

    @staticmethod
    def of(root: Path, fingerprint: str, version: int) -> Calibration:
        """The calibration by which the gallery in a folder is to be searched.

        Args:
            fingerprint: of the model that searches it.
            version: of the gallery now.

        Raises:
            GalleryError: there is none, or it is of another table than the one that is there.
            GalleryMismatch: it is another model's.
        """
        found = Calibration.read(root)
        if found is None:
            raise GalleryError(f"the gallery in {root} was never calibrated for a coarse stage: {_CALIBRATE}")
        if found.fingerprint != fingerprint:
            raise GalleryMismatch(
                f"the gallery in {root} was calibrated with the model {found.fingerprint}, this one is {fingerprint}: "
                f"{_AGAIN}"
            )
        if found.version > version:
            raise GalleryError(
                f"the gallery in {root} is at version {version} and was calibrated at {found.version}, so it is an "
                f"earlier one or another: {_AGAIN}"
            )
        return found

    def write(self, root: Path) -> None:
        """Put it beside the gallery's table, in the place of an earlier one."""
        scratch = root / f"{FILE}.{os.getpid()}.part"
        try:
            scratch.write_text(json.dumps({"format": _FORMAT, **asdict(self)}, indent=1) + "\n", encoding="utf-8")
            scratch.replace(root / FILE)
        finally:
            scratch.unlink(missing_ok=True)


def _count(value: Any) -> bool:
    return type(value) is int and 0 < value < _LARGEST_COUNT


def _number(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value < math.inf


def _told(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _LONGEST and value.isprintable()


_FITS: Mapping[Any, Callable[[Any], bool]] = {"int": _count, "float": _number, "str": _told}
_CALIBRATE = "framesift gallery calibrate, with texts that people search for, does so"
_AGAIN = "calibrate it again, with framesift gallery calibrate"
