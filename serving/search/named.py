"""The part of a view that a search names by ids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ...export.bundle.errors import InvalidRequest
from ...kernels.lanes import blocks, read_rows, write_rows

if TYPE_CHECKING:
    from .snapshot import View


class Named:
    """Rows by their ids, of all views that were asked for so far; not to be shared between threads.

    Args:
        lanes: of the tensors whose rows lie side by side.
    """

    def __init__(self, lanes: Mapping[str, int]) -> None:
        self._lanes = lanes
        self._ids: Sequence[str] = ()
        self._rows: dict[str, int] = {}
        self._seen = 0

    def only(self, view: View, ids: Sequence[str]) -> View:
        """The part of a view that holds the videos of these ids, in the order in which they were indexed.

        Raises:
            InvalidRequest: the view holds no video of one of them.
        """
        part, missing = self.among(view, ids)
        if missing:
            raise InvalidRequest(
                f"the gallery has no video {missing[0][:100]!r}, which the search names as a candidate"
            )
        return part

    def among(self, view: View, ids: Sequence[str]) -> tuple[View, list[str]]:
        """The part of a view that holds those of these ids that it has, in the order of indexing, and the others."""
        self._follow(view)
        rows, missing, scanned, gone = [], list[str](), None, set(view.dead.tolist())
        for id_ in dict.fromkeys(ids):
            row = self._rows.get(id_)
            # A later view may have been asked for before; then this one alone knows.
            if row is None or row >= len(view.timestamps) or view.ids[row] != id_:
                scanned = _rows_of(view) if scanned is None else scanned
                row = scanned.get(id_)
            if row is None or row in gone:
                missing.append(id_)
            else:
                rows.append(row)
        kept = np.array(sorted(rows), np.intp)
        part = replace(
            view,
            count=len(kept),
            ids=[view.ids[row] for row in kept.tolist()],
            tensors={name: _picked(values, kept, self._lanes.get(name)) for name, values in view.tensors.items()},
            timestamps=view.timestamps[kept],
            dead=np.empty(0, np.intp),
            part=True,
        )
        return part, missing

    def _follow(self, view: View) -> None:
        if self._ids is not view.ids:
            self._ids, self._rows, self._seen = view.ids, {}, 0
        for row in range(self._seen, len(view.timestamps)):
            self._rows[view.ids[row]] = row
        self._seen = max(self._seen, len(view.timestamps))


def _rows_of(view: View) -> dict[str, int]:
    """The rows of a view's videos by their ids; of equal ids the last, which replaced the others."""
    return dict(zip(view.ids, range(len(view.timestamps)), strict=False))


def _picked(values: npt.NDArray[Any], rows: npt.NDArray[np.intp], lanes: int | None) -> npt.NDArray[Any]:
    """Rows of an array, in the layout of the array."""
    if lanes is None:
        return values[rows]
    picked = np.zeros((blocks(len(rows), lanes), *values.shape[1:]), values.dtype)
    write_rows(picked, 0, read_rows(values, rows))
    return picked
