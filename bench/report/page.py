"""The report as one HTML page without anything beside it."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from ..rows import Row, read
from . import figures, tables

KINDS = ("stages", "load", "overload", "soak", "against", "storages", "gpu_scoring", "gpu_encoding")

_DPI = 160
_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 52rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
h2 { margin-top: 2.5rem; } img { max-width: 100%; height: auto; }
table { border-collapse: collapse; font-size: 14px; } th, td { padding: 2px 10px; text-align: right; }
th:first-child, td:first-child { text-align: left; } tr { border-bottom: 1px solid #ddd; }
.machine, .absent { color: #777; font-size: 14px; }
"""


@dataclass(frozen=True)
class Section:
    """One question and its answer. ``command`` measures what it is drawn from, rows of ``kind``."""

    name: str
    title: str
    text: str
    kind: str
    command: str
    draw: figures.Drawing | None = None
    table: tables.Tabling | None = None


SECTIONS = (
    Section(
        "latency",
        "Latency against load",
        "Searches arrive at random moments, whatever the server does; latency counts from the moment at which one was "
        "to be sent. The dot is the knee. NVIDIA's perf_analyzer, where there are figures of it, counts from when a "
        "request was sent.",
        "load",
        "load",
        figures.latency_against_load,
        tables.load,
    ),
    Section(
        "waterfall",
        "One search, stage by stage",
        "The stages run by themselves in one process, and the same search through the server with nobody else there. "
        "The thin lines stand at twice the sum of the stages.",
        "stages",
        "stages",
        figures.waterfall,
        tables.waterfall,
    ),
    Section(
        "compute",
        "Where the CPU goes at saturation",
        "Blue is the models' own work, grey what serving adds: gRPC, queues, copies, making tensors.",
        "load",
        "load",
        figures.compute,
        tables.compute,
    ),
    Section(
        "against",
        "Against what one would use instead",
        "One search by the same weights over the same videos, all services running at once and asked in turns.",
        "against",
        "against",
        None,
        tables.against,
    ),
    Section("batch", "Throughput against batch", "", "stages", "stages", figures.throughput_against_batch, None),
    Section("stages", "Stages", "", "stages", "stages", None, tables.stages),
    Section(
        "overload",
        "Three times too much",
        "What can't be answered in time is refused at once, with a status that tells clients to come again.",
        "overload",
        "overload",
        figures.overload,
        tables.overload,
    ),
    Section("soak", "Memory over a long run", "", "soak", "soak", figures.memory, tables.soak),
    Section(
        "storage",
        "Quality against speed of each storage",
        "",
        "storages",
        "storages",
        figures.quality_against_speed,
        tables.storages,
    ),
    Section(
        "roofline",
        "Roofline of the scorer on a GPU",
        "Scores of a million videos by the Triton kernel.",
        "gpu_scoring",
        "",
        figures.roofline,
        None,
    ),
)


def results(folder: Path) -> dict[str, list[Row]]:
    """The newest rows of every kind; of runs that ended early only where there is no other."""
    found = {kind: read(kind, folder) for kind in KINDS}
    return {kind: [row for row in rows if not row.get("ended_early")] or rows for kind, rows in found.items()}


def pictures(rows: figures.Rows) -> dict[str, bytes]:
    """Every picture that there are rows for as a PNG, by its section's name."""
    drawn = {section.name: section.draw(rows) for section in SECTIONS if section.draw}
    return {name: _png(figure) for name, figure in drawn.items() if figure is not None}


def page(rows: figures.Rows, drawn: Mapping[str, bytes]) -> str:
    """The page with ``pictures`` in it; what was not measured says which command measures it."""
    body = "".join(_section(section, rows, drawn.get(section.name)) for section in SECTIONS)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>framesift: benchmarks</title>'
        f"<style>{_STYLE}</style></head><body><h1>framesift: benchmarks</h1>\n{body}</body></html>\n"
    )


def _section(section: Section, rows: figures.Rows, picture: bytes | None) -> str:
    parts = [f'<h2 id="{section.name}">{html.escape(section.title)}</h2>\n']
    if section.text:
        parts.append(f"<p>{html.escape(section.text)}</p>\n")
    lines = section.table(rows) if section.table else None
    if picture is None and not lines:
        how = f"; <code>framesift bench {section.command} --results FOLDER</code> does" if section.command else ""
        return "".join([*parts, f'<p class="absent">Not measured{how}.</p>\n'])
    if picture is not None:
        encoded = base64.b64encode(picture).decode()
        parts.append(f'<img alt="{html.escape(section.title)}" src="data:image/png;base64,{encoded}">\n')
    if lines:
        parts.append(_table(lines))
    parts.append(f'<p class="machine">{html.escape(tables.machine(rows[section.kind]))}</p>\n')
    return "".join(parts)


def _png(figure: Figure) -> bytes:
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=_DPI)
    return out.getvalue()


def _table(lines: Sequence[Sequence[str]]) -> str:
    head, *rest = ["".join(f"<td>{html.escape(cell)}</td>" for cell in line) for line in lines]
    return f"<table><tr>{head.replace('td>', 'th>')}</tr>" + "".join(f"<tr>{row}</tr>" for row in rest) + "</table>\n"
