"""Records of the reference model's shapes, in any number, without a model."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyarrow.parquet import ParquetWriter

from ...export.bundle.manifest import FrameProfile, Manifest, TokenizerProfile
from ...export.bundle.ports import FRAMES, GRAM_TABLE, graph_ports
from ...export.bundle.spec import TensorSpec
from ...export.bundle.topk_attention import text_record, video_record
from ...kernels.topk_attention.layout import HeadShape
from ...serving.gallery.blocks import Block
from ...serving.gallery.schema import GallerySchema

SHAPE = HeadShape(12, 512, 4)
_SEED, _POOL, _BLOCK = 11, 8192, 4096


def manifest() -> Manifest:
    """Of a model with the reference's records: D = 512, F = 12, K = 4."""
    frames = TensorSpec(FRAMES, "uint8", (SHAPE.frames, 3, 224, 224))
    return Manifest(
        system="dong2026",
        scorer="topk_attention",
        fingerprint="bench-gallery",
        embed_dim=SHAPE.width,
        frames=FrameProfile(count=SHAPE.frames, size=224),
        tokenizer=TokenizerProfile(),
        graphs=graph_ports([frames], text_record(SHAPE), video_record(SHAPE), attends=True),
        options={"top_k": SHAPE.top_k, "heads": SHAPE.heads},
    )


def block(start: int, count: int, schema: GallerySchema, version: int = 0) -> Block:
    """The records ``start`` to ``start + count``: every frame is drawn from a pool of directions, so that no two videos
    are the same and a million take minutes.
    """
    ids = [f"films/{number // 1000:05d}/{number:08d}.mp4" for number in range(start, start + count)]
    values = np.random.default_rng([_SEED, start, version])
    tensors = {}
    for spec in schema.record:
        if spec.name == GRAM_TABLE:
            tensors[spec.name] = values.random((count, *spec.shape), np.float32) + 1
            continue
        width = spec.shape[-1]
        picked = _pool(width)[values.integers(_POOL, size=(count, math.prod(spec.shape[:-1])))]
        scale = schema.lengths.get(spec.name, 1.0)
        tensors[spec.name] = (picked.reshape(count, *spec.shape) * np.float16(scale)).astype(spec.dtype)
    return Block(
        ids,
        ids,
        [hashlib.sha256(f"{id_} {version}".encode()).digest() for id_ in ids],
        ["{}"] * count,
        np.full(count, 10, np.float32),
        np.tile(np.linspace(0, 10, schema.frames, dtype=np.float32), (count, 1)),
        tensors,
    )


def write(path: Path, first: int, count: int, schema: GallerySchema) -> None:
    """A Parquet file of so many records from the ``first`` on, as another program would write it: without checksums."""
    arrow = schema.arrow()
    names = [name for name in arrow.names if name not in ("sequence", "checksums", "indexed_at")]
    columns = pa.schema([arrow.field(name) for name in names])
    with ParquetWriter(path, columns, compression="none", use_dictionary=False) as writer:
        for start in range(first, first + count, _BLOCK):
            writer.write_batch(_batch(block(start, min(_BLOCK, first + count - start), schema), columns))


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


def _pool(width: int) -> npt.NDArray[np.float16]:
    if width not in _POOLS:
        drawn = np.random.default_rng(_SEED).standard_normal((_POOL, width), np.float32)
        _POOLS[width] = (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float16)
    return _POOLS[width]


_POOLS: dict[int, npt.NDArray[np.float16]] = {}
