"""framesift's own documents with the committed results in their places."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from ..scale import tables as scale_tables
from ..schema.kinds import (
    ABLATION,
    AGAINST_SUMMARY,
    DEMO,
    ENGINES,
    EXACT_SCORING,
    GALLERY,
    GPU_ENCODING,
    GPU_SCORING,
    INDEXING,
    INT8,
    LOAD,
    OVERLOAD_VERDICT,
    SCANS,
    SHARDS,
    SOAK,
    SOAK_VERDICT,
    STAGES,
    STORAGES,
    TEXT_LENGTH,
)
from ..schema.row import Kind
from . import load_tables, part_tables
from .cells import Tabling, markdown
from .headline import headline
from .results import Results, measured_on

DOCUMENTS = ("README.md", "docs/ablations.md", "docs/benchmarks.md", "docs/engines.md", "docs/scale.md")
_PLACE = re.compile(r"^<!-- ([a-z0-9-]+) -->\n(.*?)^<!-- /\1 -->", re.MULTILINE | re.DOTALL)


def _table(table_of: Tabling, kind: Kind[Any], note: Callable[[Results], str], results: Results) -> str:
    lines = table_of(results)
    return "Not measured yet." if lines is None else f"{markdown(lines)}\n\n{note(results)}{measured_on(kind, results)}"


def _ablations(results: Results) -> str:
    kept, encodings = part_tables.frames_kept(results), part_tables.temporal_encodings(results)
    if kept is None or encodings is None:
        return "Not measured yet."
    tables = ["Frames kept (temporal transformer):", markdown(kept), "Temporal encoding (K = 4):", markdown(encodings)]
    return "\n\n".join([*tables, measured_on(ABLATION, results)])


def _demo(results: Results) -> str:
    rows = results.of(DEMO)
    return "\n".join(["```text", *rows[-1].lines, "```"]) if rows else "Not run yet."


def _place(
    table_of: Tabling, kind: Kind[Any], note: Callable[[Results], str] = lambda _: ""
) -> Callable[[Results], str]:
    return partial(_table, table_of, kind, note)


# What stands between <!-- name --> and <!-- /name -->.
PLACES: dict[str, Callable[[Results], str]] = {
    "headline": headline,
    "demo": _demo,
    "ablation": _ablations,
    "against": _place(load_tables.against, AGAINST_SUMMARY),
    "waterfall": _place(load_tables.waterfall, STAGES),
    "compute": _place(load_tables.compute, LOAD),
    "overload": _place(load_tables.overload, OVERLOAD_VERDICT),
    "soak": _place(load_tables.soak, SOAK_VERDICT),
    "gallery": _place(part_tables.galleries, GALLERY),
    "storages": _place(part_tables.storages, STORAGES),
    "exact-scoring": _place(part_tables.exact_scoring, EXACT_SCORING),
    "scans": _place(part_tables.scans, SCANS),
    "text-length": _place(part_tables.text_length, TEXT_LENGTH),
    "int8": _place(part_tables.int8, INT8),
    "gpu-scoring": _place(part_tables.gpu_scoring, GPU_SCORING, part_tables.gpu_scoring_note),
    "shards": _place(part_tables.shards, SHARDS, part_tables.shards_note),
    "scale-machines": _place(scale_tables.sizes, GPU_SCORING, scale_tables.sizes_note),
    "scale-indexing": _place(scale_tables.indexing, GPU_ENCODING),
    "scale-ray": _place(scale_tables.by_ray, INDEXING),
    "scale-tail": _place(scale_tables.tail, SOAK),
    "engines": _place(part_tables.engines, ENGINES, part_tables.engines_note),
}


def filled(root: Path, results: Results) -> dict[Path, str]:
    """The text of every document in the checkout ``root``, each place filled from ``results``.

    Raises:
        ValueError: a result has no place, or a place has no result.
    """
    unused = set(PLACES)
    documents = {}
    for path in (root / name for name in DOCUMENTS):
        parts = _PLACE.split(path.read_text(encoding="utf-8"))
        # Text, a place's name, what stands there, text, ...
        for at in range(1, len(parts) - 1, 3):
            name = parts[at]
            if name not in PLACES:
                raise ValueError(f"{path} has a place for {name}, which no result fills")
            parts[at : at + 2] = [f"<!-- {name} -->\n", f"{PLACES[name](results)}\n<!-- /{name} -->"]
            unused.discard(name)
        documents[path] = "".join(parts)
    if unused:
        raise ValueError(f"no document has a place for {', '.join(sorted(unused))}")
    return documents
