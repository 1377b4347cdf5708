"""The table of a gallery in shards beside one server."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from framesift.bench.report.part_tables import shards, shards_note
from framesift.bench.report.results import Results
from framesift.bench.schema.files import write
from framesift.bench.schema.load import Percentiles
from framesift.bench.schema.rows import Sharded
from framesift.bench.shards.measure import line

ROW = Sharded(
    model="demo",
    videos=3000,
    shards=3,
    facts=False,
    searches=300,
    one=Percentiles(p50_ms=10.0, p95_ms=12.0),
    sharded=Percentiles(p50_ms=11.25, p95_ms=14.5),
    added_ms=1.25,
    differing=0,
    load_1min=2.0,
)


def test_a_row_says_what_shards_add(tmp_path: Path) -> None:
    assert shards(Results(tmp_path)) is None
    write("shards", [ROW, replace(ROW, facts=True, added_ms=1.5, load_1min=3.5)], tmp_path)
    found = Results(tmp_path)
    table = shards(found)
    assert table is not None
    assert table[1:] == [
        ["3,000", "3 shards, plain", "10.00 ms", "11.25 ms", "1.25 ms", "12.00 ms", "14.50 ms"],
        ["3,000", "3 shards, with facts", "10.00 ms", "11.25 ms", "1.50 ms", "12.00 ms", "14.50 ms"],
    ]
    assert shards_note(found) == "Load 2.0 to 3.5. "
    assert line(ROW).split()[-2:] == ["+1.25", "ms"]
