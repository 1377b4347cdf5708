"""Scans of a gallery on a device by the scorers of plain vectors: what ``pairs`` is for processors.

Letters in shapes: Q queries, V videos, W word positions, F frames, D width.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ..pairs import SHAPES
from . import best
from .best import capability, grid, on
from .keep import LEAST
from .pair_plan import Name, PairPlan, pair_plan

# A step of a product takes so many columns, at least.
_COLUMNS = 16


class DeviceScan(ABC):
    """One call of a scorer. Scores are those of its ``reference``; what is not a number there comes last, with -inf.

    Args:
        text: its arrays of Q texts by the names of ``pairs.SHAPES``, float32.
        records: its arrays of V videos, float16, on the same device; ``live`` and results are there too.

    Raises:
        ValueError: another dtype, shape or device, not contiguous, no query or no video, a width that is no multiple of
            16, or a device without the needed tensor cores.
    """

    how: PairPlan
    """Of the kernel that reads most."""

    def __init__(self, text: Mapping[str, Tensor], records: Mapping[str, Tensor]) -> None:
        self.sizes = checked(text, records)
        self.text, self.records = text, records
        self.device = next(iter(records.values())).device

    def score(self) -> Tensor:
        """Scores float32 [Q, V]; the least number of float32 where the formula's is none."""
        return self._scores(slice(0, self.sizes["V"]), None, None)

    def search(self, n: int, *, live: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The ``n`` best videos of each query, best first, the lower row first among equals.

        Args:
            n: from 1 to the number of videos that are live.
            live: bool [V], where it is false a video is left out.

        Returns:
            Scores float32 and rows int64, [Q, n].

        Raises:
            ValueError: another ``n``, or another ``live``.
        """
        videos = self.sizes["V"]
        if live is not None and (live.shape != (videos,) or live.dtype != torch.bool or live.device != self.device):
            raise ValueError(
                f"live is {live.dtype} {list(live.shape)} on {live.device}, must be bool [{videos}] on {self.device}"
            )
        most = videos if live is None else int(live.sum())
        if not 1 <= n <= most:
            raise ValueError(f"n is {n}, it must lie between 1 and the number of videos, {most}")
        alive = None if live is None else live.to(torch.uint8)
        scores, rows = best.search(self._scores, self.sizes["Q"], videos, n, alive, self.device)
        return scores.masked_fill(scores <= LEAST.value, -torch.inf), rows.long()

    @abstractmethod
    def start(self, part: slice, kept: Mapping[str, Tensor | None]) -> Any:
        """Start the kernels that score the videos of ``part``.

        Args:
            kept: OUT, LIVE and LARGEST of ``keep`` for these videos.
        """

    def plan(self, name: Name, frames: int = 1, words: int = 1) -> PairPlan:
        """The plan of one of the scorer's kernels."""
        return pair_plan(name, frames, self.sizes["D"], words, self.sizes["Q"], capability(self.device))

    def launch(self, kernel: Any, how: PairPlan, kept: Mapping[str, Tensor | None], **given: Any) -> Any:
        """Start a kernel, and return it as the Triton compiler made it."""
        out = kept["OUT"]
        assert out is not None
        queries, videos = out.shape
        constants = {name: value for name, value in how.constants().items() if name in kernel.arg_names}
        with on(self.device):
            programs = grid(how.tile, queries, videos, self.device)
            return kernel[programs](**given, **kept, Q=queries, V=videos, **constants, **how.tile.options())

    def _scores(self, part: slice, live: Tensor | None, largest: Tensor | None) -> Tensor:
        out = torch.empty(self.sizes["Q"], part.stop - part.start, dtype=torch.float32, device=self.device)
        self.start(part, {"OUT": out, "LIVE": live, "LARGEST": largest})
        return out


def checked(text: Mapping[str, Tensor], records: Mapping[str, Tensor]) -> dict[str, int]:
    """Sizes by their letters.

    Raises:
        ValueError: as ``DeviceScan``.
    """
    sizes: dict[str, int] = {}
    device = next(iter(records.values())).device
    for arrays, dtype in ((text, torch.float32), (records, torch.float16)):
        for name, array in arrays.items():
            letters = SHAPES[name]
            shape = [sizes.setdefault(letter, size) for letter, size in zip(letters, array.shape, strict=False)]
            if array.dim() != len(letters) or shape != list(array.shape):
                wanted = [sizes.get(letter, letter) for letter in letters]
                raise ValueError(f"{name} is {list(array.shape)}, must be {wanted}")
            if array.dtype != dtype or not array.is_contiguous():
                raise ValueError(f"{name} is {array.dtype}, must be {dtype} and contiguous")
            if array.device != device:
                raise ValueError(f"{name} lies on {array.device}, records on {device}: move them together")
    if not sizes["Q"] or not sizes["V"]:
        raise ValueError("there must be at least one text and one video")
    if sizes["D"] % _COLUMNS:
        raise ValueError(f"vectors are {sizes['D']} wide, the kernels take multiples of {_COLUMNS}")
    return sizes
