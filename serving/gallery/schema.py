"""What a gallery's table looks like for one model."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from ...export.bundle.checks import DIGEST_BYTES
from ...export.bundle.errors import GalleryError
from ...export.bundle.manifest import Manifest
from ...export.bundle.ports import (
    CUTTING,
    DIGEST,
    DURATION,
    END,
    ID,
    METADATA,
    SEGMENT,
    SEGMENTS,
    SOURCE,
    START,
    TIMESTAMPS,
    VIDEO_ENCODER,
)
from ...export.bundle.scorer_card import ScorerCard
from ...export.bundle.scorers import scorer_of
from ...export.bundle.spec import TensorSpec
from .checksums import CHECKSUMS

FORMAT = 6
SEQUENCE = "sequence"
INDEXED_AT = "indexed_at"

_KEY = b"framesift"
# What the facts take beside the timestamps: an id, a path, a digest, some metadata and the checksums.
_FACTS_BYTES = 256
# A number, an id, a digest.
_FACT_BYTES = 32
_FACTS = (
    *(ID, SEQUENCE, SOURCE, DIGEST, DURATION, TIMESTAMPS, METADATA, INDEXED_AT),
    *(SEGMENT, SEGMENTS, START, END, CUTTING),
)


@dataclass(frozen=True)
class GallerySchema:
    """The model a gallery belongs to: ``record`` is the video record as it is kept, ``frames`` is F.

    ``lengths`` are those that the vectors of some tensors of the record must have, because the scorer doesn't divide by
    them.
    """

    system: str
    fingerprint: str
    lengths: Mapping[str, float]
    record: tuple[TensorSpec, ...]
    frames: int

    @staticmethod
    def of(manifest: Manifest) -> GallerySchema:
        """The schema for a bundle: the record is what its video encoder returns.

        Raises:
            GalleryError: a record tensor whose shape is not fixed.
            BundleError: a scorer that is not known.
        """
        encoded = [port.unbatched() for port in manifest.graphs[VIDEO_ENCODER].outputs]
        for spec in encoded:
            if -1 in spec.shape:
                raise GalleryError(f"the record tensor {spec.name!r} has the shape {spec.dims}: it must be fixed")
        record = tuple(TensorSpec(spec.name, spec.stored, spec.dims) for spec in encoded)
        lengths = _lengths(record, scorer_of(manifest))
        # A column of no numbers can't be kept: a video without frames has one time, which no search tells.
        times = manifest.frame_count or 1
        return GallerySchema(manifest.system, manifest.fingerprint, lengths, record, times)

    @staticmethod
    def read(schema: pa.Schema) -> GallerySchema:
        """The schema that ``arrow`` wrote into a table.

        Raises:
            GalleryError: the table was not made by framesift, or by another format.
        """
        found, form = GallerySchema._told(schema)
        if form != FORMAT:
            raise GalleryError(
                f"the gallery has format {form}, this framesift reads {FORMAT}: index the videos again, or bring its "
                "records into a new one: framesift gallery import NEW OLD"
            )
        return found

    @staticmethod
    def noted(schema: pa.Schema) -> GallerySchema | None:
        """The schema that a table of others, or of an earlier format, may carry; None where it carries none."""
        try:
            return GallerySchema._told(schema)[0]
        except GalleryError:
            return None

    @staticmethod
    def _told(schema: pa.Schema) -> tuple[GallerySchema, object]:
        """What a table's metadata say, and in which format."""
        try:
            values = json.loads((schema.metadata or {})[_KEY])
            record = tuple(TensorSpec(row["name"], row["dtype"], tuple(row["dims"])) for row in values["record"])
            lengths = {str(name): float(length) for name, length in values["lengths"].items()}
            made = GallerySchema(values["system"], values["fingerprint"], lengths, record, int(values["frames"]))
            return made, values["format"]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise GalleryError(f"the table was not made by framesift: {error!r}") from error

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns that have a checksum, in their order."""
        return (*_FACTS, *(spec.name for spec in self.record))

    @property
    def row_bytes(self) -> int:
        """Bytes of a row's numbers, about what it takes on disk."""
        tensors = sum(math.prod(spec.shape) * np.dtype(spec.dtype).itemsize for spec in self.record)
        return tensors + 4 * self.frames + _FACTS_BYTES

    def bytes_of(self, columns: Sequence[str]) -> int:
        """Bytes of some columns of a row, about."""
        wide = {spec.name: math.prod(spec.shape) * np.dtype(spec.dtype).itemsize for spec in self.record}
        wide |= {TIMESTAMPS: 4 * self.frames, CHECKSUMS: 4 * len(self.columns), METADATA: self.row_bytes}
        return sum(wide.get(name, _FACT_BYTES) for name in columns) or 1

    def arrow(self) -> pa.Schema:
        """The table's columns; this schema travels in their metadata, so both are created in one commit."""
        facts = {
            ID: pa.string(),
            SEQUENCE: pa.int64(),
            SOURCE: pa.string(),
            DIGEST: pa.binary(DIGEST_BYTES),
            DURATION: pa.float32(),
            TIMESTAMPS: pa.list_(pa.float32(), self.frames),
            METADATA: pa.string(),
            INDEXED_AT: pa.timestamp("us", tz="UTC"),
            SEGMENT: pa.int32(),
            SEGMENTS: pa.int32(),
            START: pa.float32(),
            END: pa.float32(),
            CUTTING: pa.string(),
            CHECKSUMS: pa.list_(pa.uint32(), len(_FACTS) + len(self.record)),
        }
        if clash := facts.keys() & {spec.name for spec in self.record}:
            raise GalleryError(
                f"record tensors can't be named {', '.join(sorted(clash))}: every gallery has such columns"
            )
        tensors = {spec.name: pa.list_(pa.from_numpy_dtype(spec.dtype), math.prod(spec.shape)) for spec in self.record}
        values = {
            "format": FORMAT,
            "system": self.system,
            "fingerprint": self.fingerprint,
            "lengths": self.lengths,
            "frames": self.frames,
            "record": [{"name": spec.name, "dtype": spec.dtype, "dims": spec.dims} for spec in self.record],
        }
        fields = [pa.field(name, kind, nullable=False) for name, kind in {**facts, **tensors}.items()]
        return pa.schema(fields, metadata={_KEY: json.dumps(values)})


def _lengths(record: Sequence[TensorSpec], scorer: ScorerCard) -> dict[str, float]:
    unit = {spec.name: 1.0 for spec in record if spec.name in scorer.unit}
    # With keys and values apart there are two sets, which weights have scaled.
    standard = [spec for spec in record if spec.name in scorer.standard and spec.shape[0] == 1]
    return unit | {spec.name: math.sqrt(spec.shape[-1]) for spec in standard}
