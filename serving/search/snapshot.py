"""The gallery in memory: what searches read, kept up to date by a thread."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from ...export.bundle.errors import GalleryError, InvalidRequest
from ...export.bundle.ports import ID, TIMESTAMPS
from ...export.bundle.spec import TensorSpec
from ...kernels.lanes import blocks, read_rows, write_rows
from ..gallery.reader import UNANSWERED, Reader
from ..gallery.rows import column
from ..gallery.schema import SEQUENCE
from .columns import Columns

POLL_S = 0.25
# A gallery that can't be read is tried again when it has changed, and after so long: its files may have been mended.
_RETRY_S = 30.0

# Removed rows stay in the arrays until they are this share of them, and at least so many. A copy of all that are left
# is then shared by many changes, 32 rows for each, which is little beside the work of indexing a video.
_DEAD_SHARE = 1 / 32
_DEAD_ROWS = 256

# Room for more videos costs nothing until it is written to, and spares a copy of everything at the first one.
_HEADROOM = 1.25

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class View:
    """One state of the gallery; never changes. Rows are in the order in which they were indexed.

    ``tensors`` hold [R, ...] per record tensor, in the dtype of the gallery's schema, or [ceil(R / L), n, L] where the
    scorer reads L rows side by side, and ``timestamps`` float32 [R, F] seconds. ``dead`` lists the rows that have been
    removed or replaced since the arrays were built: R = ``count`` + the number of dead rows. ``ids`` may be longer
    than R. ``part`` says that these are only the videos that a search named.
    """

    version: int
    count: int
    ids: Sequence[str]
    tensors: Mapping[str, npt.NDArray[Any]]
    timestamps: npt.NDArray[np.float32]
    dead: npt.NDArray[np.intp]
    part: bool = False


class Snapshot:
    """Keeps ``view`` at the latest version of the gallery.

    Only new rows are read: rows are numbered upwards for ever, so those above the highest number seen are
    new, and when the counts then differ, something was removed. A view is replaced, never changed, so whoever
    holds one keeps a consistent state.

    Attributes:
        fault: why nothing of the gallery has been read yet, if ``patient``; its view is empty.
    """

    def __init__(
        self,
        reader: Reader,
        tensors: Sequence[str],
        lanes: Mapping[str, int] | None = None,
        poll_s: float = POLL_S,
        *,
        patient: bool = False,
    ) -> None:
        """Load the gallery's tensors called ``tensors``; of those in ``lanes`` so many rows lie side by side.

        Args:
            patient: a gallery whose data can't be read, or have changed on disk, is tried again instead.

        Raises:
            GalleryError: the gallery can't be read, or keeps no such tensor.
        """
        schema = reader.schema
        kept = {spec.name: spec for spec in schema.record}
        if missing := sorted(set(tensors) - kept.keys()):
            raise GalleryError(f"the gallery keeps {sorted(kept)}, not {missing}")
        self._reader = reader
        self._poll_s = poll_s
        self._tensors = tuple(tensors)
        specs = [
            TensorSpec(SEQUENCE, "int64", ()),
            TensorSpec(TIMESTAMPS, "float32", (schema.frames,)),
            *(kept[name] for name in tensors),
        ]
        self._shapes = {spec.name: spec.shape for spec in specs}
        self._lanes = dict(lanes or {})
        self._columns = Columns(specs, lanes)
        self._ids: list[str] = []
        self._rows: dict[str, int] = {}
        self._dead: list[int] = []
        self._seen = -1
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self._columns.reserve(int(reader.count * _HEADROOM))
        self._tried = time.monotonic()
        self.fault: GalleryError | None = None
        version = reader.advance()
        try:
            self.view = self._load(version)
        except GalleryError as error:
            if not patient:
                raise
            self.fault = error
            self.view = self._view(version)

    def start(self) -> None:
        """Follow the gallery from a thread of its own until ``close``."""
        self._thread = threading.Thread(target=self._follow, name="gallery-snapshot", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop following."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()

    def refresh(self) -> None:
        """Bring ``view`` up to date. Not to be called while the thread runs.

        Raises:
            GalleryError: the gallery can't be read; the view stays what it was.
        """
        version = self._reader.advance()
        retried = self.fault is not None and time.monotonic() - self._tried > _RETRY_S
        if version == self.view.version and not retried:
            return
        self._tried = time.monotonic()
        try:
            self.view = self._load(version)
            self.fault = None
        except GalleryError as error:
            if self.fault is not None:
                self.fault = error
                self.view = self._view(version)
            raise

    def only(self, view: View, ids: Sequence[str]) -> View:
        """The part of a view that holds the videos of these ids, in the order in which they were indexed.

        Raises:
            InvalidRequest: the view holds no video of one of them.
        """
        rows, scanned, gone = [], None, set(view.dead.tolist())
        for id_ in dict.fromkeys(ids):
            row = self._rows.get(id_)
            # The thread may be ahead of the view; then the view alone knows.
            if row is None or row >= len(view.timestamps) or view.ids[row] != id_:
                scanned = _rows_of(view) if scanned is None else scanned
                row = scanned.get(id_)
            if row is None or row in gone:
                raise InvalidRequest(f"the gallery has no video {id_[:100]!r}, which the search names as a candidate")
            rows.append(row)
        kept = np.array(sorted(rows), np.intp)
        tensors = {name: _picked(values, kept, self._lanes.get(name)) for name, values in view.tensors.items()}
        names = [view.ids[row] for row in kept.tolist()]
        return View(view.version, len(kept), names, tensors, view.timestamps[kept], np.empty(0, np.intp), part=True)

    def __enter__(self) -> Snapshot:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _follow(self) -> None:
        complaint = self._complained(self.fault)
        while not self._stopped.wait(self._poll_s):
            try:
                self.refresh()
                complaint = ""
            except Exception as error:
                if str(error) != complaint:
                    complaint = self._complained(error)

    def _complained(self, error: Exception | None) -> str:
        if error is None:
            return ""
        if self.fault is None:
            _log.warning("searches go on with version %d of the gallery: %s", self.view.version, error)
        else:
            _log.error("%s%s", UNANSWERED, error)
        return str(error)

    def _load(self, version: int) -> View:
        self._read_new()
        if len(self._rows) != self._reader.count:
            self._drop_removed()
        if len(self._dead) > max(_DEAD_ROWS, int(_DEAD_SHARE * self._columns.rows)):
            self._rebuild()
        return self._view(version)

    def _view(self, version: int) -> View:
        arrays = self._columns.views()
        return View(
            version=version,
            count=len(self._rows),
            ids=self._ids,
            tensors={name: arrays[name] for name in self._tensors},
            timestamps=arrays[TIMESTAMPS],
            dead=np.array(sorted(self._dead), np.intp),
        )

    def _read_new(self) -> None:
        start = self._columns.rows
        try:
            for batch in self._reader.batches([TIMESTAMPS, *self._tensors], self._seen):
                self._columns.append({name: column(batch, name, shape) for name, shape in self._shapes.items()})
                self._ids.extend(batch.column(ID).to_pylist())
        except BaseException:
            self._columns.truncate(start)
            del self._ids[start:]
            raise
        sequences = self._columns.views()[SEQUENCE][start:]
        if not len(sequences):
            return
        if (np.diff(sequences) < 0).any():
            order = np.argsort(sequences, kind="stable")
            self._columns.reorder(start, order)
            self._ids[start:] = [self._ids[start + place] for place in order.tolist()]
        for row in range(start, self._columns.rows):
            before = self._rows.get(self._ids[row])
            if before is not None:
                self._dead.append(before)
            self._rows[self._ids[row]] = row
        self._seen = int(self._columns.views()[SEQUENCE][-1])

    def _drop_removed(self) -> None:
        rows = np.fromiter(self._rows.values(), np.intp, len(self._rows))
        sequences = self._columns.views()[SEQUENCE][rows]
        for row in rows[~np.isin(sequences, self._reader.sequences())].tolist():
            del self._rows[self._ids[row]]
            self._dead.append(row)

    def _rebuild(self) -> None:
        live = np.ones(self._columns.rows, np.bool_)
        live[self._dead] = False
        self._columns = self._columns.kept(live, int(_HEADROOM * live.sum()))
        self._ids = [self._ids[row] for row in np.flatnonzero(live).tolist()]
        self._rows = {id_: row for row, id_ in enumerate(self._ids)}
        self._dead = []


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
