"""Every value of a row has a CRC-32 beside it, because neither Lance nor a file system notices flipped bits of its own.

A row's checksums lie in one column, one for each other column in their order. Each begins from the row's number and the
column's place, so that a value that was moved to another row or column is found as well.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

CHECKSUMS = "checksums"
# The largest prime below 2^32: numbers of rows differ far above 2^32, too.
_PRIME = 4_294_967_291

Checksums = npt.NDArray[np.uint32]


def checksums(columns: Mapping[str, pa.Array], places: Mapping[str, int], sequence: pa.Array) -> dict[str, Checksums]:
    """The checksum of every value, uint32 [rows] by column.

    Args:
        places: of all columns, in a schema's order.
        sequence: the rows' numbers int64 [rows].
    """
    rows = np.asarray(sequence.to_numpy(zero_copy_only=False)) % _PRIME
    return {
        name: _column(values, ((rows + places[name]) % _PRIME).tolist())
        for name, values in columns.items()
        if name != CHECKSUMS
    }


def changed(batch: pa.RecordBatch, columns: Sequence[str], sequence: str) -> dict[int, list[str]]:
    """Which rows of a batch are not as they were written: their places, and the columns that differ.

    Args:
        columns: of the schema, in its order; those that the batch has are compared.
        sequence: the name of the column with the rows' numbers.
    """
    places = {name: place for place, name in enumerate(columns)}
    held = {name: batch.column(name) for name in batch.schema.names if name in places}
    kept = batch.column(CHECKSUMS)
    wanted = np.asarray(kept.flatten().to_numpy(zero_copy_only=False)).reshape(batch.num_rows, len(columns))
    found: dict[int, list[str]] = {}
    for name, values in checksums(held, places, batch.column(sequence)).items():
        for row in np.flatnonzero(values != wanted[:, places[name]]).tolist():
            found.setdefault(row, []).append(name)
    return found


def _column(values: pa.Array, starts: list[int]) -> Checksums:
    kind = values.type
    if pa.types.is_string(kind) or pa.types.is_binary(kind) or pa.types.is_fixed_size_binary(kind):
        each = (item.encode() if isinstance(item, str) else item or b"" for item in values.to_pylist())
    else:
        flat = values.flatten() if pa.types.is_fixed_size_list(kind) else values
        if pa.types.is_timestamp(kind):
            flat = flat.cast(pa.int64())
        raw = np.ascontiguousarray(flat.to_numpy(zero_copy_only=False)).view(np.uint8).data
        width = len(raw) // max(1, len(values))
        each = (raw[place * width : (place + 1) * width] for place in range(len(values)))
    return np.fromiter(map(zlib.crc32, each, starts), np.uint32, len(values))
