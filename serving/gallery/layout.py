"""What a gallery's table looks like for one model, and records as its rows."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ...export.bundle.checks import DIGEST_BYTES, check_digest, check_id, check_metadata, check_source
from ...export.bundle.errors import GalleryError, InvalidRequest
from ...export.bundle.manifest import Manifest
from ...export.bundle.ports import (
    DIGEST,
    DURATION,
    FRAME_MASK,
    ID,
    METADATA,
    SOURCE,
    TIMESTAMPS,
    VIDEO_ENCODER,
)

FORMAT = 2
SEQUENCE = "sequence"
INDEXED_AT = "indexed_at"

_KEY = b"framesift"


@dataclass(frozen=True)
class GalleryRecord:
    """One video as it is kept: its record tensors by name (any float dtype, without a batch dimension) and
    its facts.

    ``timestamps`` float [F] and ``duration`` are seconds, ``digest`` is the SHA-256 of the file, ``metadata``
    is the text of a JSON object.
    """

    id: str
    tensors: Mapping[str, npt.NDArray[np.floating[Any]]]
    timestamps: npt.NDArray[np.floating[Any]]
    duration: float
    digest: bytes
    source: str = ""
    metadata: str = "{}"


@dataclass(frozen=True)
class Layout:
    """The model a gallery belongs to: ``tensors`` maps each record tensor to its shape, ``frames`` is F.

    Record tensors are kept in float16, but for those that ``dtypes`` names.
    """

    system: str
    fingerprint: str
    tensors: Mapping[str, tuple[int, ...]]
    frames: int
    dtypes: Mapping[str, str] = field(default_factory=dict)

    def dtype(self, name: str) -> np.dtype[Any]:
        """The dtype in which the tensor ``name`` is kept."""
        return np.dtype(self.dtypes.get(name, "float16"))

    @staticmethod
    def of(manifest: Manifest) -> Layout:
        """The layout for a bundle: the record is what its video encoder returns.

        Raises:
            GalleryError: a record tensor whose shape is not fixed.
        """
        tensors, dtypes = {}, {}
        for port in manifest.graphs[VIDEO_ENCODER].outputs:
            if any(isinstance(size, str) for size in port.dims[1:]):
                raise GalleryError(f"the record tensor {port.name!r} has the shape {port.dims}: it must be fixed")
            tensors[port.name] = port.shape[1:]
            if port.stored != "float16":
                dtypes[port.name] = port.stored
        return Layout(manifest.system, manifest.fingerprint, tensors, manifest.frames.count, dtypes)

    @staticmethod
    def read(schema: pa.Schema) -> Layout:
        """The layout that ``schema`` wrote into a table.

        Raises:
            GalleryError: the table was not made by framesift, or by another format.
        """
        try:
            values = json.loads((schema.metadata or {})[_KEY])
            if values["format"] != FORMAT:
                raise GalleryError(
                    f"the gallery has format {values['format']}, this framesift reads {FORMAT}: index the videos again"
                )
            tensors = {str(name): tuple(int(size) for size in shape) for name, shape in values["tensors"].items()}
            return Layout(
                values["system"], values["fingerprint"], tensors, int(values["frames"]), dict(values["dtypes"])
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise GalleryError(f"the table was not made by framesift: {error!r}") from error

    def schema(self) -> pa.Schema:
        """The table's schema; the layout itself travels in its metadata, so both are created in one
        commit.
        """
        facts = {
            ID: pa.string(),
            SEQUENCE: pa.int64(),
            SOURCE: pa.string(),
            DIGEST: pa.binary(DIGEST_BYTES),
            DURATION: pa.float32(),
            TIMESTAMPS: pa.list_(pa.float32(), self.frames),
            METADATA: pa.string(),
            INDEXED_AT: pa.timestamp("us", tz="UTC"),
        }
        clash = facts.keys() & self.tensors.keys()
        if clash:
            raise GalleryError(
                f"record tensors can't be named {', '.join(sorted(clash))}: every gallery has such columns"
            )
        columns = {
            **facts,
            **{
                name: pa.list_(pa.from_numpy_dtype(self.dtype(name)), math.prod(shape))
                for name, shape in self.tensors.items()
            },
        }
        values = {
            "format": FORMAT,
            "system": self.system,
            "fingerprint": self.fingerprint,
            "frames": self.frames,
            "tensors": self.tensors,
            "dtypes": self.dtypes,
        }
        fields = [pa.field(name, kind, nullable=False) for name, kind in columns.items()]
        return pa.schema(fields, metadata={_KEY: json.dumps(values)})

    def check(self, record: GalleryRecord) -> None:
        """Check that a record can be kept.

        Raises:
            InvalidRequest: a text that breaks the rules of ``checks``; a tensor that is missing, unknown,
                of another shape, not finite, or beyond the dtype in which it is kept.
        """
        check_id(record.id)
        check_source(record.source)
        check_metadata(record.metadata)
        check_digest(record.digest)
        if not (math.isfinite(record.duration) and record.duration >= 0):
            raise InvalidRequest(f"the duration of {record.id!r} is {record.duration} s")
        if record.tensors.keys() != self.tensors.keys():
            raise InvalidRequest(
                f"the record of {record.id!r} has the tensors {sorted(record.tensors)}, "
                f"the gallery keeps {sorted(self.tensors)}"
            )
        _check_array(record.id, TIMESTAMPS, np.asarray(record.timestamps, np.float32), (self.frames,))
        for name, shape in self.tensors.items():
            kept = _kept(record.tensors[name], self.dtype(name))
            _check_array(record.id, name, kept, shape)
            if name == FRAME_MASK and not (np.isin(kept, (0, 1)).all() and kept.any()):
                raise InvalidRequest(
                    f"{name} of {record.id!r} must be 1 for frames and 0 for padding, with a 1 at least"
                )
            if not kept.any():
                raise InvalidRequest(f"{name} of {record.id!r} is all zeros, which nothing can be compared with")

    def rows(self, records: Sequence[GalleryRecord], first_sequence: int) -> pa.Table:
        """Checked records as rows, numbered upwards from ``first_sequence``."""
        count = len(records)
        now = datetime.now(UTC)
        columns: dict[str, Any] = {
            ID: [record.id for record in records],
            SEQUENCE: np.arange(first_sequence, first_sequence + count, dtype=np.int64),
            SOURCE: [record.source for record in records],
            DIGEST: [record.digest for record in records],
            DURATION: np.array([record.duration for record in records], np.float32),
            METADATA: [record.metadata for record in records],
            INDEXED_AT: [now] * count,
            TIMESTAMPS: np.stack([np.asarray(record.timestamps, np.float32) for record in records]),
        }
        columns.update(
            {
                name: np.stack([_kept(record.tensors[name], self.dtype(name)) for record in records])
                for name in self.tensors
            }
        )
        schema = self.schema()
        return pa.Table.from_arrays([_array(columns[field.name], field.type) for field in schema], schema=schema)


def column(batch: pa.RecordBatch, name: str, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """A column of numbers, or of fixed-size lists of them, as an array [rows, \\*shape]; not copied."""
    values = batch.column(name)
    flat = values.flatten() if shape else values
    return np.asarray(flat.to_numpy(zero_copy_only=True)).reshape(batch.num_rows, *shape)


def _array(values: Any, kind: pa.DataType) -> pa.Array:
    if pa.types.is_fixed_size_list(kind):
        return pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1), kind.value_type), type=kind)
    return pa.array(values, kind)


def _kept(values: npt.NDArray[Any], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(values).astype(dtype)


def _check_array(video: str, name: str, values: npt.NDArray[Any], shape: tuple[int, ...]) -> None:
    if values.shape != shape:
        raise InvalidRequest(f"{name} of {video!r} has the shape {values.shape}, expected {shape}")
    if not np.isfinite(values).all():
        raise InvalidRequest(
            f"{name} of {video!r} holds values that are not finite in {values.dtype}: it can't be kept"
        )
