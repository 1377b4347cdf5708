"""Rows of published results, each with the source it was taken from (``published.json``)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files


@dataclass(frozen=True)
class PublishedRow:
    """One system's numbers in one direction; None where the source gives none.

    ``values`` are R@1, R@5, R@10, MdR and MnR. ``postprocessed`` names a post-processing that used the other test
    queries.
    """

    system: str
    direction: str
    values: tuple[float | None, ...]
    source: str
    postprocessed: str | None = None


@dataclass(frozen=True)
class PublishedTable:
    """The rows of one test set, which has ``queries`` captions of ``videos`` videos."""

    title: str
    queries: int
    videos: int
    rows: tuple[PublishedRow, ...]

    def of(self, direction: str) -> list[PublishedRow]:
        """The rows of one direction."""
        return [row for row in self.rows if row.direction == direction]


@cache
def published_tables() -> dict[str, PublishedTable]:
    """Every table by its name; the rows carry their sources in full."""
    found = json.loads((files("framesift.export.evaluation") / "published.json").read_text(encoding="utf-8"))
    tables = {}
    for name, table in found["tables"].items():
        rows = [
            {**row, "values": tuple(row["values"]), "source": found["sources"][row["source"]]} for row in table["rows"]
        ]
        tables[name] = PublishedTable(**{**table, "rows": tuple(PublishedRow(**row) for row in rows)})
    return tables
