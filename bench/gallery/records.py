"""Records of the reference model's shapes, in any number, without a model."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow.parquet import ParquetWriter

from ...export.bundle.manifest import FrameProfile, Manifest, TokenizerProfile
from ...export.bundle.ports import (
    CUTTING,
    END,
    FRAME_VECTORS,
    FRAMES,
    GRAM_TABLE,
    MEAN_EMBEDDING,
    SEGMENT,
    SEGMENTS,
    START,
    graph_ports,
)
from ...export.bundle.spec import TensorSpec
from ...export.bundle.storage_names import Storage
from ...export.bundle.storages import BIASES, stored
from ...export.bundle.topk_attention import text_record, video_record
from ...serving.gallery.blocks import Block
from ...serving.gallery.schema import GallerySchema
from .world import SHAPE, Films, biases, records

_BLOCK = 4096
# What the gallery adds itself, to films that are whole.
_OWN = ("sequence", "checksums", "indexed_at", SEGMENT, SEGMENTS, START, END, CUTTING)


def manifest(storage: Storage = "float16") -> Manifest:
    """Of a model with the reference's records: D = 512, F = 12, K = 4."""
    frames = TensorSpec(FRAMES, "uint8", (SHAPE.frames, 3, 224, 224))
    made = Manifest(
        system="dong2026",
        scorer="topk_attention",
        fingerprint="bench-gallery",
        embed_dim=SHAPE.width,
        frames=FrameProfile(count=SHAPE.frames, size=224),
        tokenizer=TokenizerProfile(),
        graphs=graph_ports([frames], text_record(SHAPE), video_record(SHAPE), attends=True),
        options={"top_k": SHAPE.top_k, "heads": SHAPE.heads, BIASES: biases()},
    )
    return stored(made, storage)


def id_of(number: int) -> str:
    """The id of the record of that number."""
    return f"films/{number // 1000:05d}/{number:08d}.mp4"


def block(films: Films, start: int, count: int, schema: GallerySchema, version: int = 0) -> Block:
    """The records ``start`` to ``start + count``."""
    ids = [id_of(number) for number in range(start, start + count)]
    made = dict(zip((FRAME_VECTORS, GRAM_TABLE, MEAN_EMBEDDING), records(films, start, count, version), strict=True))
    return Block(
        ids,
        ids,
        [hashlib.sha256(f"{id_} {version}".encode()).digest() for id_ in ids],
        ["{}"] * count,
        np.full(count, 10, np.float32),
        np.tile(np.linspace(0, 10, schema.frames, dtype=np.float32), (count, 1)),
        {spec.name: made[spec.name].astype(spec.dtype) for spec in schema.record},
    )


def write(path: Path, films: Films, first: int, count: int, schema: GallerySchema) -> None:
    """A Parquet file of so many records from the ``first`` on, as another program would write it: without checksums."""
    arrow = schema.arrow()
    names = [name for name in arrow.names if name not in _OWN]
    columns = pa.schema([arrow.field(name) for name in names])
    with ParquetWriter(path, columns, compression="none", use_dictionary=False) as writer:
        for start in range(first, first + count, _BLOCK):
            writer.write_batch(_batch(block(films, start, min(_BLOCK, first + count - start), schema), columns))


def _batch(made: Block, columns: pa.Schema) -> pa.RecordBatch:
    held: dict[str, Any] = {
        "id": made.ids,
        "source": made.sources,
        "digest": made.digests,
        "metadata": made.metadata,
        "duration": made.durations,
        "timestamps": made.timestamps,
        **made.tensors,
    }
    return pa.RecordBatch.from_arrays(list(_arrays(held, columns)), schema=columns)


def _arrays(held: dict[str, Any], columns: pa.Schema) -> Iterator[pa.Array]:
    for field in columns:
        values = held[field.name]
        if isinstance(values, np.ndarray) and values.ndim > 1:
            flat = pa.array(values.reshape(-1), field.type.value_type)
            yield pa.FixedSizeListArray.from_arrays(flat, type=field.type)
        else:
            yield pa.array(values, field.type)
