"""The gallery in memory: what searches read, kept up to date by a thread."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from ...export.bundle.errors import GalleryError
from ...export.bundle.ports import SEGMENT, SEGMENTS, TIMESTAMPS
from ...export.bundle.spec import TensorSpec
from ..gallery.compaction import return_the_rest
from ..gallery.reader import UNANSWERED, Reader
from ..gallery.schema import SEQUENCE
from .columns import Columns
from .derived import NOTHING, Derived
from .facts import Facts
from .held import change_of
from .loading import Kind, Rows, load, read_new
from .named import Named
from .pieces import Check
from .sweep import Sweep
from .view import View

POLL_S = 0.25
# A gallery that can't be read is tried again when it has changed, and after so long: its files may have been mended.
_RETRY_S = 30.0

# Removed rows stay in the arrays until they are this share of them, and at least so many. A copy of all that are left
# is then shared by many changes, 32 rows for each, which is little beside the work of indexing a video.
_DEAD_SHARE = 1 / 32
_DEAD_ROWS = 256
# Larger galleries are copied by a thread, while new videos and removals are followed, and less often; also when little
# room is left, before everything would have to move at once.
_BRIEF = 256 << 20
_DEAD_SHARE_LARGE = 1 / 8
_FULL = 0.9

_log = logging.getLogger(__name__)


class Snapshot:
    """Keeps ``view`` at the latest version of the gallery.

    Fragments of the table never change but for their lists of removed rows, so two versions are told apart by their
    fragments, and only those that differ are looked into: for rows that are new, numbered above all that were seen, and
    for rows that have gone. A view is replaced, never changed, so whoever holds one keeps a consistent state.

    Attributes:
        fault: why nothing of the gallery has been read yet, if ``patient``; its view is empty.
    """

    def __init__(
        self,
        reader: Reader,
        tensors: Sequence[str],
        lanes: Mapping[str, int] | None = None,
        poll_s: float = POLL_S,
        cache: Path | None = None,
        derived: Derived = NOTHING,
        *,
        patient: bool = False,
        facts: Facts | None = None,
    ) -> None:
        """Load the gallery's tensors called ``tensors``; of those in ``lanes`` so many rows lie side by side.

        Args:
            cache: a folder for a file of the rows, which the next process maps instead of loading them.
            derived: tensors that are made of these when rows are loaded, and kept beside them.
            patient: a gallery whose data can't be read, or have changed on disk, is tried again instead.
            facts: of the videos, which are to be there whenever a view is.

        Raises:
            GalleryError: the gallery can't be read, or keeps no such tensor.
        """
        schema = reader.schema
        kept = {spec.name: spec for spec in schema.record}
        if missing := sorted(set(tensors) - kept.keys()):
            raise GalleryError(f"the gallery keeps {sorted(kept)}, not {missing}")
        self._reader, self._facts = reader, facts
        self._poll_s = poll_s
        self._tensors = (*tensors, *derived.names)
        specs = [
            TensorSpec(SEQUENCE, "int64", ()),
            TensorSpec(TIMESTAMPS, "float32", (schema.frames,)),
            TensorSpec(SEGMENT, "int32", ()),
            TensorSpec(SEGMENTS, "int32", ()),
            *(kept[name] for name in tensors),
            *derived.specs,
        ]
        beside = {**(lanes or {}), **derived.lanes}
        self._kind = Kind(f"{schema.fingerprint} {derived.key}", specs, beside, cache, derived)
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self._sweep: Sweep | None = None
        self.named = Named()
        self._tried = time.monotonic()
        self._looked: tuple[Columns | None, int, bool] = None, 0, False
        self.fault: GalleryError | None = None
        self._dead, self._died, self._since = np.empty(0, np.intp), np.empty(0, np.int64), 0
        self._rows = Rows(reader.version, Columns(specs, beside), [], {})
        self._check: Check | None = None
        try:
            self._rows = load(reader, self._kind)
            self._check = self._rows.check
            self._since = reader.advance()
            self.view = self._load(self._since)
        except GalleryError as error:
            if not patient:
                raise
            self._nothing(error)
        return_the_rest()

    def start(self) -> None:
        """Follow the gallery from a thread of its own until ``close``."""
        self._thread = threading.Thread(target=self._follow, name="gallery-snapshot", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop following."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()
        if self._sweep is not None:
            self._sweep.abandon()
        if self._check is not None:
            self._check.abandon()

    def refresh(self) -> None:
        """Bring ``view`` up to date. Not to be called while the thread runs.

        Raises:
            GalleryError: the gallery can't be read; the view stays what it was.
        """
        version = self._reader.advance()
        spoilt = self._check is not None and self._check.failed
        retried = self.fault is not None and time.monotonic() - self._tried > _RETRY_S
        swept = self._sweep is not None and self._sweep.done
        if version == self.view.version and not (spoilt or retried or swept):
            return
        self._tried = time.monotonic()
        try:
            if spoilt:
                _log.warning("the cache of the gallery has changed on disk: rows are read from the table again")
                self._check = None
            if spoilt or self.fault is not None:
                self._anew()
                version = self._reader.version
            view = self._load(version)
            if self._facts is not None and self._facts.read:
                self._facts.follow(view.version)
            self.view, self.fault = view, None
        except GalleryError as error:
            if self.fault is not None:
                self.fault = error
                self.view = self._view(version)
            raise

    def only(self, view: View, ids: Sequence[str]) -> View:
        """As ``Named.only``; not to be called by several threads."""
        return self.named.only(view, ids)

    def among(self, view: View, ids: Sequence[str]) -> tuple[View, list[str]]:
        """As ``Named.among``; not to be called by several threads."""
        return self.named.among(view, ids)

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

    def _anew(self) -> None:
        """Forget everything: another table lies in the gallery's place, or a copy of an earlier state."""
        if self._sweep is not None:
            self._sweep.abandon()
        self._sweep = None
        rows = load(self._reader, self._kind, anew=True)
        if self._facts is not None:
            self._facts.forget()
        self._rows, self._dead, self._died = rows, np.empty(0, np.intp), np.empty(0, np.int64)
        self._since = rows.version

    def _load(self, version: int) -> View:
        self._update(self._rows, version)
        if self._rows.columns.rows - len(self._dead) != self._reader.rows:
            _log.info("the gallery is read anew: it is not what it was with some changes")
            self._anew()
            version = self._reader.version
        rows = self._rows
        rows.version = version
        if self._sweep is None and self._due(rows):
            self._sweep = Sweep(rows, self._dead, self._kind, aside=self._large(rows))
        if self._sweep is not None and self._sweep.done:
            self._rows, self._dead, left = self._sweep.swept(rows, self._dead)
            self._since, self._died = int(self._died[~left].max(initial=self._since)), self._died[left]
            rows, self._sweep = self._rows, None
            if self._facts is not None:
                self._facts.forget(rows.numbers)
        return self._view(version)

    def _nothing(self, error: GalleryError) -> None:
        """Have a view of nothing, because the gallery can't be read."""
        self.fault = error
        self._rows = Rows(self._reader.version, Columns(self._kind.specs, self._kind.lanes), [], {})
        self._dead, self._died = np.empty(0, np.intp), np.empty(0, np.int64)
        self.view = self._view(self._reader.version)

    def _view(self, version: int) -> View:
        rows = self._rows
        arrays = rows.columns.views()
        cut = self._cut(rows.columns, arrays[SEGMENTS])
        return View(
            version=version,
            count=rows.columns.rows - len(self._dead),
            ids=rows.ids,
            tensors={name: arrays[name] for name in self._tensors},
            timestamps=arrays[TIMESTAMPS],
            dead=self._dead,
            numbers=arrays[SEQUENCE],
            died=self._died,
            since=self._since,
            segments=arrays[SEGMENT] if cut else None,
            counts=arrays[SEGMENTS] if cut else None,
        )

    def _cut(self, columns: Columns, counts: npt.NDArray[Any]) -> bool:
        """Whether there is a film of several rows; rows that were looked at before are not looked at again."""
        before, seen, found = self._looked
        if before is not columns:
            seen, found = 0, False
        found = found or bool((counts[seen:] > 1).any())
        self._looked = columns, len(counts), found
        return found

    def _due(self, rows: Rows) -> bool:
        """Whether rows should be copied, without those that are dead."""
        count, large = rows.columns.rows, self._large(rows)
        share = _DEAD_SHARE_LARGE if large else _DEAD_SHARE
        return len(self._dead) > max(_DEAD_ROWS, int(share * count)) or (large and count > _FULL * rows.columns.room)

    def _large(self, rows: Rows) -> bool:
        return rows.columns.rows * self._kind.row_bytes > _BRIEF

    def _update(self, rows: Rows, version: int) -> None:
        """Add the rows that are new in the reader's version, and note those that have gone."""
        if (change := change_of(self._reader, rows.held)) is None:
            return
        numbers = rows.numbers
        seen = int(numbers[-1]) if len(numbers) else -1
        fresh = [number for number in change.new if change.held[number].numbers.max(initial=-1) > seen]
        if fresh:
            read_new(self._reader, rows, self._kind, fresh, seen)
        if len(change.gone):
            gone_now = np.setdiff1d(np.searchsorted(rows.numbers, change.gone), self._dead)
            dead = np.concatenate([self._dead, gone_now.astype(np.intp)])
            order = np.argsort(dead)
            died = np.concatenate([self._died, np.full(len(gone_now), version, np.int64)])
            self._dead, self._died = dead[order], died[order]
        rows.held = change.held
