"""Rankings as the outputs of a search."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...export.bundle.packing import pack_joined, pack_rows
from ...export.bundle.ports import (
    ATTENTION,
    EXACT,
    ID_LENGTHS,
    IDS,
    RECALL,
    RESCORED,
    SCORES,
    TIMESTAMPS,
    VERSION,
)
from ..search.ranking import Ranked
from ..search.view import View
from .base import Arrays


def answer(view: View, ranked: Sequence[Ranked]) -> Arrays:
    """The outputs of one request, as ``GallerySearch`` writes them, from the ranking of each of its texts.

    A text with fewer hits than another has some more, whose ids have no bytes.
    """
    ids = [pack_joined([view.ids[row].encode() for row in row_.rows.tolist()]) for row_ in ranked]
    weights = [row.attention for row in ranked if row.attention is not None]
    counts = [[row.rescored] for row in ranked if row.rescored is not None]
    exact = np.array([[row.exact] for row in ranked], np.bool_)
    recalls = [[row.recall] for row in ranked if row.recall is not None]
    return {
        IDS: pack_rows([joined.tobytes() for joined, _ in ids]),
        ID_LENGTHS: level([lengths for _, lengths in ids]),
        SCORES: level([row.scores for row in ranked], -np.inf),
        **({ATTENTION: level(weights)} if weights else {}),
        TIMESTAMPS: level([view.timestamps[row.rows] for row in ranked]),
        VERSION: np.full((len(ranked), 1), view.version, np.int64),
        **({EXACT: exact, RESCORED: np.array(counts, np.int64)} if counts else {}),
        **({RECALL: np.array(recalls, np.float32)} if recalls else {}),
    }


def level(rows: Sequence[np.ndarray[Any, Any]], filling: float = 0) -> np.ndarray[Any, Any]:
    """Arrays [n, ...] as one of rows, whose ends are filled where they are not of one length."""
    if len(rows) == 1:
        return rows[0][None]
    most = max(map(len, rows))
    if most == min(map(len, rows)):
        return np.stack(rows)
    level = np.full((len(rows), most, *rows[0].shape[1:]), filling, rows[0].dtype)
    for place, row in enumerate(rows):
        level[place, : len(row)] = row
    return level


def text_rows(texts: Sequence[str]) -> np.ndarray[Any, Any]:
    """Texts as rows uint8 [B, W]."""
    return pack_rows([text.encode() for text in texts])
