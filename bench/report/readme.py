"""The README with the committed results in their places."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..rows import read
from . import tables
from .figures import Rows
from .page import results as page_results
from .tables import Tabling, machine, markdown

# The README's places and the report's tables; and the kind of their rows, where it isn't the place's name.
SERVED: dict[str, Tabling] = {
    "against": tables.against,
    "waterfall": tables.waterfall,
    "compute": tables.compute,
    "overload": tables.overload,
    "soak": tables.soak,
    "storages": tables.storages,
}
_KINDS = {"waterfall": "stages", "compute": "load"}


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


def filled(readme: str, results: Path) -> str:
    """The README with every marked place filled from ``results``."""
    rows = [row for row in read("cpu", results) if "8 bits" not in row["group"]]
    exact = [row for row in rows if "videos" in row["group"]]
    of_page = page_results(results)
    texts = {
        "exact-scoring": table(exact),
        "text-length": table([row for row in rows if row not in exact]),
        "int8": table(read("int8", results)),
        "gpu-scoring": gpu_table(read("gpu_scoring", results)),
        **{name: served(name, table_of, of_page) for name, table_of in SERVED.items()},
        "ablation": (results / "ablation" / "ablation.md").read_text(encoding="utf-8").strip(),
        "demo": "```text\n" + (results / "demo.txt").read_text(encoding="utf-8").strip() + "\n```",
    }
    for name, text in texts.items():
        before, after = f"<!-- {name} -->\n", f"<!-- /{name} -->"
        head, opened, rest = readme.partition(before)
        _, closed, tail = rest.partition(after)
        if not (opened and closed):
            raise ValueError(f"README.md has no place for {name}")
        readme = head + before + text + "\n" + after + tail
    return readme
