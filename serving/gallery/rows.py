"""Videos as rows of a gallery's table: checked once and cast once, at the door."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ...export.bundle.checks import check_digest, check_id, check_metadata, check_source
from ...export.bundle.errors import InvalidRequest
from ...export.bundle.ports import MASKS, TIMESTAMPS
from ...export.bundle.segments import WHOLE, Cutting, Segment
from ...export.bundle.spec import TensorSpec
from .schema import GallerySchema
from .segments import check_segment

# Far more than rounding to half precision, or an engine in it, adds.
LENGTH_ERROR = 0.02


@dataclass(frozen=True)
class GalleryEntry:
    """One video to be kept, or a segment of one: its record's tensors by name (any float dtype, without a batch
    dimension) and its facts.

    ``timestamps`` float [F] and ``duration`` are seconds, of the whole film for a segment too, ``digest`` is the
    SHA-256 of the file, ``metadata`` is the text of a JSON object. ``cutting`` is how the film is cut; None where it is
    not, and of segments of which nobody said.
    """

    id: str
    tensors: Mapping[str, npt.NDArray[np.floating[Any]]]
    timestamps: npt.NDArray[np.floating[Any]]
    duration: float
    digest: bytes
    source: str = ""
    metadata: str = "{}"
    segment: Segment = WHOLE
    cutting: Cutting | None = None


@dataclass(frozen=True)
class Row:
    """An entry that has been checked: ``tensors`` and ``timestamps`` are in the dtypes in which they are kept."""

    entry: GalleryEntry
    tensors: Mapping[str, npt.NDArray[Any]]
    timestamps: npt.NDArray[np.float32]

    @staticmethod
    def of(entry: GalleryEntry, schema: GallerySchema) -> Row:
        """Check and cast an entry.

        Raises:
            InvalidRequest: a text that breaks the rules of ``checks``; a tensor that is missing, unknown, of another
                shape, not finite, beyond the dtype in which it is kept, or not of length one where it must be.
        """
        check_id(entry.id)
        check_source(entry.source)
        check_metadata(entry.metadata)
        check_digest(entry.digest)
        check_segment(entry.id, entry.segment)
        if not (math.isfinite(entry.duration) and entry.duration >= 0):
            raise InvalidRequest(f"the duration of {entry.id!r} is {entry.duration} s")
        names = [spec.name for spec in schema.record]
        if entry.tensors.keys() != set(names):
            raise InvalidRequest(
                f"the record of {entry.id!r} has the tensors {sorted(entry.tensors)}, the gallery keeps {sorted(names)}"
            )
        timestamps = _cast(entry.id, entry.timestamps, TensorSpec(TIMESTAMPS, "float32", (schema.frames,)))
        tensors = {spec.name: _record_tensor(entry.id, entry.tensors[spec.name], spec) for spec in schema.record}
        for name, length in schema.lengths.items():
            _check_lengths(entry.id, name, tensors[name], length)
        return Row(entry, tensors, timestamps)


def column(batch: pa.RecordBatch, name: str, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """A column of numbers, or of fixed-size lists of them, as an array [rows, \\*shape]; not copied."""
    values = batch.column(name)
    flat = values.flatten() if shape else values
    return np.asarray(flat.to_numpy(zero_copy_only=True)).reshape(batch.num_rows, *shape)


def _cast(video: str, values: npt.NDArray[Any], spec: TensorSpec) -> npt.NDArray[Any]:
    with np.errstate(over="ignore", invalid="ignore"):
        cast = np.asarray(values).astype(spec.dtype)
    if not spec.takes_shape(cast.shape):
        raise InvalidRequest(f"{spec.name} of {video!r} has the shape {cast.shape}, expected {spec.shape}")
    if not np.isfinite(cast).all():
        raise InvalidRequest(
            f"{spec.name} of {video!r} holds values that are not finite in {spec.dtype}: it can't be kept"
        )
    return cast


def _record_tensor(video: str, values: npt.NDArray[Any], spec: TensorSpec) -> npt.NDArray[Any]:
    kept = _cast(video, values, spec)
    if spec.name in MASKS and not (np.isin(kept, (0, 1)).all() and kept.any()):
        raise InvalidRequest(f"{spec.name} of {video!r} must be 1 for what counts and 0 for padding, with a 1 at least")
    if not kept.any():
        raise InvalidRequest(f"{spec.name} of {video!r} is all zeros, which nothing can be compared with")
    return kept


def _check_lengths(video: str, name: str, kept: npt.NDArray[Any], length: float) -> None:
    """Refuse vectors [..., D] that are neither as long as they must be nor, as padding is, zeros."""
    found = np.linalg.norm(kept.astype(np.float32), axis=-1) / length
    # LayerNorm's epsilon leaves vectors that hardly vary shorter.
    short = (found > 0) & (found < 1 - LENGTH_ERROR) & (length == 1)
    wrong = found[short | (found > 1 + LENGTH_ERROR)]
    if wrong.size:
        raise InvalidRequest(
            f"{name} of {video!r} has a vector {wrong.max():.4g} times as long as the scorer needs it, which is "
            f"{length:.4g}: it is not normalised"
        )
