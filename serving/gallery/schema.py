"""What a gallery's table looks like for one model."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass

import pyarrow as pa

from ...export.bundle.checks import DIGEST_BYTES
from ...export.bundle.errors import GalleryError
from ...export.bundle.manifest import Manifest
from ...export.bundle.ports import DIGEST, DURATION, ID, METADATA, SOURCE, TIMESTAMPS, VIDEO_ENCODER
from ...export.bundle.spec import TensorSpec

FORMAT = 3
SEQUENCE = "sequence"
INDEXED_AT = "indexed_at"

_KEY = b"framesift"


@dataclass(frozen=True)
class GallerySchema:
    """The model a gallery belongs to: ``record`` is the video record as it is kept, ``frames`` is F."""

    system: str
    fingerprint: str
    record: tuple[TensorSpec, ...]
    frames: int

    @staticmethod
    def of(manifest: Manifest) -> GallerySchema:
        """The schema for a bundle: the record is what its video encoder returns.

        Raises:
            GalleryError: a record tensor whose shape is not fixed.
        """
        encoded = [port.unbatched() for port in manifest.graphs[VIDEO_ENCODER].outputs]
        for spec in encoded:
            if -1 in spec.shape:
                raise GalleryError(f"the record tensor {spec.name!r} has the shape {spec.dims}: it must be fixed")
        record = tuple(TensorSpec(spec.name, spec.stored, spec.dims) for spec in encoded)
        return GallerySchema(manifest.system, manifest.fingerprint, record, manifest.frames.count)

    @staticmethod
    def read(schema: pa.Schema) -> GallerySchema:
        """The schema that ``arrow`` wrote into a table.

        Raises:
            GalleryError: the table was not made by framesift, or by another format.
        """
        try:
            values = json.loads((schema.metadata or {})[_KEY])
            if values["format"] != FORMAT:
                raise GalleryError(
                    f"the gallery has format {values['format']}, this framesift reads {FORMAT}: index the videos again"
                )
            record = tuple(TensorSpec(row["name"], row["dtype"], tuple(row["dims"])) for row in values["record"])
            return GallerySchema(values["system"], values["fingerprint"], record, int(values["frames"]))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise GalleryError(f"the table was not made by framesift: {error!r}") from error

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
            "frames": self.frames,
            "record": [{"name": spec.name, "dtype": spec.dtype, "dims": spec.dims} for spec in self.record],
        }
        fields = [pa.field(name, kind, nullable=False) for name, kind in {**facts, **tensors}.items()]
        return pa.schema(fields, metadata={_KEY: json.dumps(values)})
