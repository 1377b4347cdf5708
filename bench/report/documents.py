"""framesift's own documents with the committed results in their places."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..rows import read
from . import tables
from .figures import Rows
from .headline import headline
from .page import results as page_results
from .tables import Tabling, machine, markdown

# The documents' places and the report's tables; and the kind of their rows, where it isn't the place's name.
SERVED: dict[str, Tabling] = {
    "against": tables.against,
    "waterfall": tables.waterfall,
    "compute": tables.compute,
    "overload": tables.overload,
    "soak": tables.soak,
    "storages": tables.storages,
}
_KINDS = {"waterfall": "stages", "compute": "load"}

DOCUMENTS = ("README.md", "docs/ablations.md", "docs/benchmarks.md")
_PLACE = re.compile(r"^<!-- ([a-z0-9-]+) -->\n(.*?)^<!-- /\1 -->", re.MULTILINE | re.DOTALL)


def table(rows: Iterable[Mapping[str, Any]]) -> str:
    """Benchmark rows as Markdown, one line a case, with what they were measured on."""
    found = list(rows)
    lines = ["| | case | median | against | |", "|---|---|---:|---|---:|"]
    for row in found:
        faster = f"{row['times_faster']:.1f}x" if row["case"] != row["baseline"] else ""
        against = row["baseline"] if faster else ""
        lines.append(f"| {row['group']} | {row['case']} | {row['median_ms']:.2f} ms | {against} | {faster} |")
    first = found[0]
    machine = (
        f"{first['cpu']}, one thread, onnxruntime {first['onnxruntime']}, Python {first['python']}, "
        f"commit {first['commit']}, {first['date']}."
    )
    return "\n".join([*lines, "", machine])


def gpu_table(rows: Iterable[Mapping[str, Any]]) -> str:
    """The largest gallery of a run on a GPU: what a search costs, next to the published formula and the floor."""
    found = list(rows)
    videos = max(row["videos"] for row in found)
    times = {(row["queries"], row["storage"], row["case"]): row for row in found if row["videos"] == videos}
    cases = ("kernel search, 10 best", "kernel scores", "factorised, torch.compile", "published, eager")
    lines = [
        "| queries | stored as | ten best | all scores | of the floor | torch.compile | published, eager |",
        "|---:|---|---:|---:|---:|---:|---:|",
    ]
    for queries, storage in dict.fromkeys((key[0], key[1]) for key in times):
        # The baselines read frames as they are, so they were timed once.
        rows_ = [times.get((queries, storage, case)) or times[queries, "float16", case] for case in cases]
        best, scores, compiled, published = (row["p50_ms"] for row in rows_)
        cells = [f"{best:.2f} ms", f"{scores:.2f} ms", f"{rows_[1]['floor_ms'] / scores:.0%}"]
        cells += [f"{compiled:.1f} ms ({compiled / scores:.1f}x)", f"{published:.0f} ms ({published / scores:.0f}x)"]
        lines.append(f"| {queries} | {storage} | {' | '.join(cells)} |")
    first = found[0]
    read, multiplied = first["copy_bytes_per_s"] / 1e12, first["matrix_flop_per_s"] / 1e12
    machine = (
        f"{videos:,} videos of 12 frames, D = 512, K = 4. {first['device']}, driver {first['driver']}, torch "
        f"{first['torch']}, triton {first['triton']}, commit {first['commit']}, {first['date']}. The floor is what "
        f"must be read over {read:.2f} TB/s, or multiplied over {multiplied:.0f} TFLOP/s, both measured in the same "
        "run. The published formula ran on as many videos as fit and is scaled."
    )
    return "\n".join([*lines, "", machine])


def served(kind: str, table_of: Tabling, rows: Rows) -> str:
    """A table of the report as Markdown, with what it was measured on."""
    lines = table_of(rows)
    if lines is None:
        return "Not measured yet."
    return f"{markdown(lines)}\n\n{machine(rows[_KINDS.get(kind, kind)])}"


def places(results: Path) -> dict[str, str]:
    """The Markdown of every place that the documents have for results, by its name."""
    rows = [row for row in read("cpu", results) if "8 bits" not in row["group"]]
    exact = [row for row in rows if "videos" in row["group"]]
    of_page = page_results(results)
    return {
        "headline": headline(results),
        "exact-scoring": table(exact),
        "text-length": table([row for row in rows if row not in exact]),
        "int8": table(read("int8", results)),
        "gpu-scoring": gpu_table(read("gpu_scoring", results)),
        **{name: served(name, table_of, of_page) for name, table_of in SERVED.items()},
        "ablation": (results / "ablation" / "ablation.md").read_text(encoding="utf-8").strip(),
        "demo": "```text\n" + (results / "demo.txt").read_text(encoding="utf-8").strip() + "\n```",
    }


def filled(root: Path, results: Path) -> dict[Path, str]:
    """The text of every document in the checkout ``root``, each place filled from ``results``.

    Raises:
        ValueError: a result has no place, or a place has no result.
    """
    texts = places(results)
    unused = set(texts)
    documents = {}
    for path in (root / name for name in DOCUMENTS):
        parts = _PLACE.split(path.read_text(encoding="utf-8"))
        # Text, a place's name, what stands there, text, ...
        for at in range(1, len(parts) - 1, 3):
            name = parts[at]
            if name not in texts:
                raise ValueError(f"{path} has a place for {name}, which no result fills")
            parts[at : at + 2] = [f"<!-- {name} -->\n", f"{texts[name]}\n<!-- /{name} -->"]
            unused.discard(name)
        documents[path] = "".join(parts)
    if unused:
        raise ValueError(f"no document has a place for {', '.join(sorted(unused))}")
    return documents
