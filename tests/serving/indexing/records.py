"""What galleries hold, to be compared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from framesift.serving.gallery.schema import INDEXED_AT, SEQUENCE
from framesift.serving.gallery.store import Gallery


def records(folder: Path) -> dict[str, dict[str, Any]]:
    """Every column of every video by id, but for when and in what order they came. Numbers are compared bit by bit."""
    reader = Gallery.existing(folder).reader()
    wanted = [name for name in reader.schema.columns if name not in ("id", SEQUENCE, INDEXED_AT)]
    found: dict[str, dict[str, Any]] = {}
    for batch in reader.batches(wanted):
        for row in range(batch.num_rows):
            id_ = batch.column("id")[row].as_py()
            assert id_ not in found, f"{id_} is there twice"
            found[id_] = {name: bits(batch.column(name)[row].as_py()) for name in wanted}
    return found


def segments(folder: str | Path = "gallery") -> dict[str, list[tuple[int, float, float]]]:
    """Number, start and end of every record by id."""
    table = Gallery.existing(folder).reader().table.to_table(columns=["id", "segment", "start", "end"]).to_pylist()
    found: dict[str, list[tuple[int, float, float]]] = {}
    for row in table:
        found.setdefault(row["id"], []).append((row["segment"], row["start"], row["end"]))
    return {id_: sorted(rows) for id_, rows in found.items()}


def bits(value: Any) -> Any:
    """A value whose numbers are compared bit by bit."""
    if isinstance(value, float):
        return value.hex()
    return [bits(one) for one in value] if isinstance(value, list) else value
