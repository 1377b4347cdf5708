"""Results on disk: ``results/<kind>_<date>.jsonl``, one JSON object a line."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from .machine import machine

RESULTS = Path(__file__).parent / "results"
# Of measurements by a user; those in ``RESULTS`` are framesift's own.
OWN = Path("bench-results")

Row = dict[str, Any]


def write(kind: str, rows: Iterable[Mapping[str, Any]], folder: Path = RESULTS) -> Path:
    """Add rows of a kind, each with what it was measured on, to the kind's file of today."""
    told = machine()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{kind}_{told['date']}.jsonl"
    with path.open("a", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps({"kind": kind, **row, **told}) + "\n")
            # What is there must outlast a run that is ended early.
            file.flush()
    return path


def read(kind: str, folder: Path = RESULTS) -> list[Row]:
    """The rows of the newest file of a kind; none where there is no such file."""
    path = max(folder.glob(f"{kind}_*.jsonl"), default=None)
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path else []
