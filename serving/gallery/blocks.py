"""Many videos at once, as columns of a gallery's table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ...export.bundle.checks import check_digest, check_id, check_metadata, check_source
from ...export.bundle.limits import MAX_ID_BYTES, MAX_SOURCE_BYTES
from ...export.bundle.ports import (
    CUTTING,
    DIGEST,
    DURATION,
    END,
    ID,
    MASKS,
    METADATA,
    SEGMENT,
    SEGMENTS,
    SOURCE,
    START,
    TIMESTAMPS,
)
from ...export.bundle.segments import WHOLE, Cutting, content_digest, cutting_text
from .checksums import CHECKSUMS, checksums
from .rows import LENGTH_ERROR, GalleryEntry, Row
from .schema import INDEXED_AT, SEQUENCE, GallerySchema
from .segments import Segments, check_segment


@dataclass(frozen=True)
class Block:
    """B videos, fact by fact: texts and digests in lists, ``durations`` float32 [B] and ``timestamps`` float32 [B, F]
    in seconds, ``tensors`` [B, ...] by name. Without ``segments`` none is part of a film. ``cuttings`` say how films
    are cut, as JSON; empty where one is not, and there are none where none is.
    """

    ids: Sequence[str]
    sources: Sequence[str]
    digests: Sequence[bytes]
    metadata: Sequence[str]
    durations: npt.NDArray[Any]
    timestamps: npt.NDArray[Any]
    tensors: Mapping[str, npt.NDArray[Any]]
    segments: Segments | None = None
    cuttings: Sequence[str] = ()

    @staticmethod
    def of(rows: Sequence[Row]) -> Block:
        """Checked rows, at least one."""
        entries = [row.entry for row in rows]
        durations = np.array([entry.duration for entry in entries], np.float32)
        return Block(
            [entry.id for entry in entries],
            [entry.source for entry in entries],
            [entry.digest for entry in entries],
            [entry.metadata for entry in entries],
            durations,
            np.stack([row.timestamps for row in rows]),
            {name: np.stack([row.tensors[name] for row in rows]) for name in rows[0].tensors},
            Segments.of([entry.segment for entry in entries], durations),
            [cutting_text(entry.cutting) for entry in entries],
        )

    def cutting(self, row: int) -> str:
        """How the film of a row is cut, as JSON; empty where it is not."""
        return self.cuttings[row] if self.cuttings else ""

    def content(self, row: int) -> bytes:
        """What stands for a row's video: its file, and how that is cut."""
        return content_digest(self.digests[row], self.cutting(row))

    def entry(self, row: int) -> GalleryEntry:
        """One of the videos."""
        return GalleryEntry(
            self.ids[row],
            {name: values[row] for name, values in self.tensors.items()},
            self.timestamps[row],
            float(self.durations[row]),
            self.digests[row],
            self.sources[row],
            self.metadata[row],
            WHOLE if self.segments is None else self.segments[row],
            Cutting.parse(text) if (text := self.cutting(row)) else None,
        )

    def take(self, rows: Sequence[int]) -> Block:
        """Some of the videos, in that order."""
        places = np.asarray(rows, np.intp)
        return Block(
            [self.ids[row] for row in rows],
            [self.sources[row] for row in rows],
            [self.digests[row] for row in rows],
            [self.metadata[row] for row in rows],
            self.durations[places],
            self.timestamps[places],
            {name: values[places] for name, values in self.tensors.items()},
            None if self.segments is None else self.segments.take(places),
            [self.cuttings[row] for row in rows] if self.cuttings else (),
        )

    @staticmethod
    def joined(blocks: Sequence[Block]) -> Block:
        """The videos of several, one after another."""
        told = [block.segments or Segments.whole(block.durations) for block in blocks]
        return Block(
            ids=[id_ for block in blocks for id_ in block.ids],
            sources=[source for block in blocks for source in block.sources],
            digests=[digest for block in blocks for digest in block.digests],
            metadata=[text for block in blocks for text in block.metadata],
            durations=np.concatenate([block.durations for block in blocks]),
            timestamps=np.concatenate([block.timestamps for block in blocks]),
            tensors={name: np.concatenate([block.tensors[name] for block in blocks]) for name in blocks[0].tensors},
            segments=Segments.joined(told),
            cuttings=[block.cutting(row) for block in blocks for row in range(len(block.ids))],
        )


def checked(block: Block, schema: GallerySchema) -> Block:
    """The block as it is kept, by the rules of ``Row.of``, which are looked at for all videos at once.

    Raises:
        InvalidRequest: as ``Row.of``, for the first video that does not fit.
    """
    for id_, source, metadata, digest in zip(block.ids, block.sources, block.metadata, block.digests, strict=True):
        # Letters, digits and signs of ASCII break no rule but that of length.
        if not (_plain(id_) and id_ and id_ == id_.strip() and len(id_) <= MAX_ID_BYTES):
            check_id(id_)
        if not (_plain(source) and len(source) <= MAX_SOURCE_BYTES):
            check_source(source)
        if metadata != "{}":
            check_metadata(metadata)
        check_digest(digest)
    if (told := block.segments) is not None:
        for row in np.flatnonzero(told.counts != 1).tolist():
            check_segment(block.ids[row], told[row])
    for text in set(block.cuttings) - {""}:
        Cutting.parse(text)
    doubtful = ~(np.isfinite(block.durations) & (block.durations >= 0))
    shapes = {TIMESTAMPS: (schema.frames,), **{spec.name: spec.shape for spec in schema.record}}
    given = {TIMESTAMPS: block.timestamps, **block.tensors}
    if given.keys() != shapes.keys() or any(given[name].shape[1:] != shape for name, shape in shapes.items()):
        Row.of(block.entry(0), schema)
    with np.errstate(over="ignore", invalid="ignore"):
        durations = block.durations.astype(np.float32, copy=False)
        timestamps = block.timestamps.astype(np.float32, copy=False)
        tensors = {spec.name: block.tensors[spec.name].astype(spec.dtype, copy=False) for spec in schema.record}
        doubtful |= ~_all(np.isfinite(timestamps))
        for name, values in tensors.items():
            doubtful |= _doubtful(name, values, schema.lengths.get(name))
    for row in np.flatnonzero(doubtful).tolist():
        Row.of(block.entry(row), schema)
    return replace(block, durations=durations, timestamps=timestamps, tensors=tensors)


def table(block: Block, schema: GallerySchema, first_sequence: int) -> pa.Table:
    """Checked videos as a table, numbered upwards from ``first_sequence``."""
    count = len(block.ids)
    told = block.segments or Segments.whole(block.durations)
    columns: dict[str, Any] = {
        ID: block.ids,
        SEQUENCE: np.arange(first_sequence, first_sequence + count, dtype=np.int64),
        SOURCE: block.sources,
        DIGEST: block.digests,
        DURATION: block.durations,
        METADATA: block.metadata,
        INDEXED_AT: [datetime.now(UTC)] * count,
        TIMESTAMPS: block.timestamps,
        SEGMENT: told.numbers,
        SEGMENTS: told.counts,
        START: told.starts,
        END: told.ends,
        CUTTING: block.cuttings or [""] * count,
        **block.tensors,
    }
    arrow = schema.arrow()
    arrays = {field.name: _array(columns[field.name], field.type) for field in arrow if field.name != CHECKSUMS}
    places = {name: place for place, name in enumerate(schema.columns)}
    sums = checksums(arrays, places, arrays[SEQUENCE])
    arrays[CHECKSUMS] = _array(np.stack([sums[name] for name in schema.columns], axis=1), arrow.field(CHECKSUMS).type)
    return pa.Table.from_arrays([arrays[name] for name in arrow.names], schema=arrow)


def _array(values: Any, kind: pa.DataType) -> pa.Array:
    if pa.types.is_fixed_size_list(kind):
        return pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1), kind.value_type), type=kind)
    return pa.array(values, kind)


def _doubtful(name: str, kept: npt.NDArray[Any], length: float | None) -> npt.NDArray[np.bool_]:
    """Which of a tensor's rows [B, ...] may not fit: some that do may be among them, none that does not is missing."""
    if length is not None:
        wide = kept.astype(np.float32, copy=False)
        # Not finite where one of the numbers is not, and then neither above nor below anything.
        norms = np.sqrt(np.einsum("...d,...d->...", wide, wide)) / length
        least = 1 - LENGTH_ERROR / 2 if length == 1 else 0.0
        good = (norms == 0) | ((norms > least) & (norms < 1 + LENGTH_ERROR / 2))
        some: npt.NDArray[np.bool_] = (norms > 0).reshape(len(kept), -1).any(axis=1)
        return ~(_all(good) & some)
    found: npt.NDArray[np.bool_] = ~_all(np.isfinite(kept)) | ~kept.reshape(len(kept), -1).any(axis=1)
    if name in MASKS:
        found |= ~_all(np.isin(kept, (0, 1)))
    return found


def _plain(text: object) -> bool:
    return isinstance(text, str) and text.isascii() and text.isprintable()


def _all(good: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    whole: npt.NDArray[np.bool_] = good.reshape(len(good), -1).all(axis=1)
    return whole
