"""The report as one HTML page without anything beside it."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure

from ..schema.kinds import AGAINST_SUMMARY, GPU_SCORING, LOAD, OVERLOAD_VERDICT, SOAK_VERDICT, STAGES, STORAGES
from ..schema.row import Kind
from . import load_tables, part_tables
from . import pictures as drawings
from .cells import Tabling
from .results import Results, measured_on

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
    """One question and its answer, drawn from the rows of ``kind``."""

    name: str
    title: str
    text: str
    kind: Kind[Any]
    draw: drawings.Drawing | None = None
    table: Tabling | None = None


SECTIONS = (
    Section(
        "latency",
        "Latency against load",
        "Searches arrive at random moments, whatever the server does; latency counts from the moment at which one was "
        "to be sent. The dot is the knee. NVIDIA's perf_analyzer, where there are figures of it, counts from when a "
        "request was sent.",
        LOAD,
        drawings.latency_against_load,
        load_tables.load,
    ),
    Section(
        "waterfall",
        "One search, stage by stage",
        "The stages run by themselves in one process, and the same search through the server with nobody else there. "
        "The thin lines stand at twice the sum of the stages.",
        STAGES,
        drawings.waterfall,
        load_tables.waterfall,
    ),
    Section(
        "compute",
        "Where the CPU goes at saturation",
        "Blue is the models' own work, grey what serving adds: gRPC, queues, copies, making tensors.",
        LOAD,
        drawings.compute,
        load_tables.compute,
    ),
    Section(
        "against",
        "Against what one would use instead",
        "One search by the same weights over the same videos, all services running at once and asked in turns.",
        AGAINST_SUMMARY,
        None,
        load_tables.against,
    ),
    Section("batch", "Throughput against batch", "", STAGES, drawings.throughput_against_batch),
    Section("stages", "Stages", "", STAGES, None, part_tables.stages),
    Section(
        "overload",
        "Three times too much",
        "What can't be answered in time is refused at once, with a status that tells clients to come again.",
        OVERLOAD_VERDICT,
        drawings.overload,
        load_tables.overload,
    ),
    Section("soak", "Memory over a long run", "", SOAK_VERDICT, drawings.memory, load_tables.soak),
    Section(
        "storage",
        "Quality against speed of each storage",
        "",
        STORAGES,
        drawings.quality_against_speed,
        part_tables.storages,
    ),
    Section(
        "roofline",
        "Roofline of the scorer on a GPU",
        "Scores of a million videos by the Triton kernel.",
        GPU_SCORING,
        drawings.roofline,
        part_tables.gpu_scoring,
    ),
)


def pictures(results: Results) -> dict[str, bytes]:
    """Every picture that there are rows for as a PNG, by its section's name."""
    drawn = {section.name: section.draw(results) for section in SECTIONS if section.draw}
    return {name: _png(figure) for name, figure in drawn.items() if figure is not None}


def page(results: Results, drawn: Mapping[str, bytes]) -> str:
    """The page with ``pictures`` in it; what was not measured says which command measures it."""
    body = "".join(_section(section, results, drawn.get(section.name)) for section in SECTIONS)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>framesift: benchmarks</title>'
        f"<style>{_STYLE}</style></head><body><h1>framesift: benchmarks</h1>\n{body}</body></html>\n"
    )


def _section(section: Section, results: Results, picture: bytes | None) -> str:
    parts = [f'<h2 id="{section.name}">{html.escape(section.title)}</h2>\n']
    if section.text:
        parts.append(f"<p>{html.escape(section.text)}</p>\n")
    lines = section.table(results) if section.table else None
    if picture is None and not lines:
        how = f"<code>{section.kind.command} --results FOLDER</code> does"
        return "".join([*parts, f'<p class="absent">Not measured; {how}.</p>\n'])
    if picture is not None:
        encoded = base64.b64encode(picture).decode()
        parts.append(f'<img alt="{html.escape(section.title)}" src="data:image/png;base64,{encoded}">\n')
    if lines:
        parts.append(_table(lines))
    parts.append(f'<p class="machine">{html.escape(measured_on(section.kind, results))}</p>\n')
    return "".join(parts)


def _png(figure: Figure) -> bytes:
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=_DPI)
    return out.getvalue()


def _table(lines: Sequence[Sequence[str]]) -> str:
    head, *rest = ["".join(f"<td>{html.escape(cell)}</td>" for cell in line) for line in lines]
    return f"<table><tr>{head.replace('td>', 'th>')}</tr>" + "".join(f"<tr>{row}</tr>" for row in rest) + "</table>\n"
