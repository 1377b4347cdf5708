"""A score matrix with its ground truth, and how it is read from a file."""

from __future__ import annotations

import os
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..bundle.errors import InvalidInput

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.integer[Any]]
SCORES, TARGET = "scores", "target"
_DTYPES = (np.float16, np.float32, np.float64)


@dataclass(frozen=True, eq=False)
class ScoreMatrix:
    """``scores`` [Q, V] of Q captions against V videos, higher is better; caption q belongs to video ``target[q]``.

    Raises:
        InvalidInput: arrays that are empty, of other dtypes or shapes, or a target that is no column.
    """

    scores: Floats
    target: Ints

    def __post_init__(self) -> None:
        if self.scores.ndim != 2 or not self.scores.size or self.scores.dtype not in _DTYPES:
            raise InvalidInput(
                f"the scores are {self.scores.dtype} {list(self.scores.shape)}: "
                "they must be a matrix of floats of 16, 32 or 64 bits, one row a caption and one column a video"
            )
        queries, videos = self.scores.shape
        if self.target.shape != (queries,) or not np.issubdtype(self.target.dtype, np.integer):
            raise InvalidInput(
                f"the targets are {self.target.dtype} {list(self.target.shape)}: "
                f"they must be {queries} integers, the column of each caption's video"
            )
        if self.target.min() < 0 or self.target.max() >= videos:
            raise InvalidInput(
                f"the targets lie in {self.target.min()}..{self.target.max()}, the columns in 0..{videos - 1}"
            )

    @property
    def own(self) -> Floats:
        """The score of each caption with its own video, [Q]."""
        own: Floats = self.scores[np.arange(len(self.target)), self.target]
        return own

    @property
    def captions_per_video(self) -> Ints:
        """How many captions each column has, [V]."""
        return np.bincount(self.target, minlength=self.scores.shape[1])

    def map(self, scores: Floats) -> ScoreMatrix:
        """The same ground truth with other scores."""
        return ScoreMatrix(scores, self.target)

    def grouped(self) -> ScoreMatrix:
        """Columns in the order in which their captions first appear, and rows sorted by column.

        It is the order in which published evaluation code meets the videos; where that code breaks ties by position,
        the order decides.

        Raises:
            InvalidInput: a video without captions, which that code has no place for.
        """
        if (bare := int((self.captions_per_video == 0).sum())) != 0:
            raise InvalidInput(
                f"{bare} of {self.scores.shape[1]} videos have no caption, which this rule's code does not foresee: "
                "leave those columns out or use the rule `expected`"
            )
        columns, first = np.unique(self.target, return_index=True)
        order = columns[np.argsort(first)]
        place = np.empty_like(order)
        place[order] = np.arange(len(order))
        target = place[self.target]
        rows = np.argsort(target, kind="stable")
        return ScoreMatrix(self.scores[rows][:, order], target[rows])


def load_scores(path: str | os.PathLike[str], target: Ints | None = None) -> ScoreMatrix:
    """Read a score matrix [Q, V] from an ``.npy`` file, or from an ``.npz`` file under the name ``scores``.

    Args:
        path: the file. Nothing pickled is read.
        target: the column of each caption's video; without it, the ``.npz`` file's ``target``, or else the diagonal of
            a square matrix.

    Raises:
        InvalidInput: no such file, another content, or a matrix without ground truth.
    """
    arrays = _arrays(path)
    scores = arrays[SCORES]
    if target is None:
        target = arrays.get(TARGET)
    if target is None:
        if scores.ndim != 2 or scores.shape[0] != scores.shape[1]:
            raise InvalidInput(
                f"{path} has the shape {list(scores.shape)}, so caption i can't simply belong to video i: "
                "give the captions' file"
            )
        target = np.arange(len(scores))
    return ScoreMatrix(scores, target)


def load_bank(path: str | os.PathLike[str], videos: int) -> Floats:
    """Read scores [N, V] of other queries against the same ``videos``, as ``load_scores`` does, without ground truth.

    Raises:
        InvalidInput: as ``load_scores``, or another number of columns.
    """
    bank = _arrays(path)[SCORES]
    bank = ScoreMatrix(bank, np.zeros(len(bank) if bank.ndim else 0, np.int64)).scores
    if bank.shape[1] != videos:
        raise InvalidInput(
            f"{path} has {bank.shape[1]} columns and the score matrix {videos}: they must be the same videos"
        )
    return bank


def save_scores(path: str | os.PathLike[str], matrix: ScoreMatrix) -> None:
    """Write a score matrix with its ground truth to an ``.npz`` file that ``load_scores`` reads."""
    with Path(path).open("wb") as stream:
        np.savez_compressed(stream, **{SCORES: matrix.scores, TARGET: matrix.target})


def _arrays(path: str | os.PathLike[str]) -> dict[str, NDArray[Any]]:
    file = Path(path)
    if not file.is_file():
        raise InvalidInput(f"there is no score matrix at {file}")
    try:
        found = np.load(file, allow_pickle=False)
        arrays = dict(found.items()) if isinstance(found, np.lib.npyio.NpzFile) else {SCORES: found}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise InvalidInput(f"{file} is no .npy or .npz file of plain numbers: {error}") from error
    if SCORES not in arrays:
        raise InvalidInput(f"{file} holds {sorted(arrays) or 'nothing'}: the score matrix must be called {SCORES!r}")
    # Files may come from machines of the other byte order.
    return {name: array.astype(array.dtype.newbyteorder("="), copy=False) for name, array in arrays.items()}
