"""A measurement beside published rows, as text and as JSON's types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .metrics import RetrievalMetrics
from .names import DEFAULT_RULE, DIRECTION_NAMES, T2V
from .published import PublishedTable
from .rules import RULES, Measurement

COLUMNS = RetrievalMetrics.HEADINGS
_ABSENT = "-"
MEASURED = "measured"


@dataclass(frozen=True)
class EvaluationReport:
    """What was measured: ``measured`` by direction, under ``rule``, on ``queries`` captions of ``videos`` videos.

    ``postprocessing`` names what changed the scores before they were ranked; ``notes`` stand under the table.
    """

    rule: str
    queries: int
    videos: int
    measured: Mapping[str, Measurement]
    postprocessing: str | None = None
    notes: Sequence[str] = field(default=())


def text(report: EvaluationReport, table: PublishedTable | None) -> str:
    """The table, one a direction, with the sources of its rows and what a reader has to know below it."""
    return "\n\n".join(_one(report, table, direction) for direction in report.measured)


def to_dict(report: EvaluationReport, table: PublishedTable | None) -> dict[str, Any]:
    """The report as JSON's types; recalls in the unit that ``recall_unit`` names."""
    return {
        "rule": report.rule,
        "postprocessing": report.postprocessing,
        "queries": report.queries,
        "videos": report.videos,
        "notes": list(report.notes),
        "measured": {name: _plain(found) for name, found in report.measured.items()},
        "published": []
        if table is None
        else [
            {
                "system": row.system,
                "direction": row.direction,
                **dict(zip(COLUMNS, row.values, strict=True)),
                "postprocessing": row.postprocessed,
                "source": row.source,
            }
            for row in table.rows
            if row.direction in report.measured
        ],
    }


def _plain(found: Measurement) -> dict[str, Any]:
    values = (found.r1, found.r5, found.r10, found.mdr, found.mnr)
    return {
        **dict(zip(COLUMNS, values, strict=True)),
        "recall_unit": "fraction" if found.fractions else "%",
        "samples": found.counted,
        "at_least": list(found.at_least),
    }


def _one(report: EvaluationReport, table: PublishedTable | None, direction: str) -> str:
    published = [] if table is None else table.of(direction)
    sources = list(dict.fromkeys(row.source for row in published))
    name = MEASURED if report.postprocessing is None else f"{MEASURED}, {report.postprocessing}"
    rows: list[tuple[str, ...]] = [("", *COLUMNS, "")]
    rows += [(row.system, *map(_cell, row.values), f"[{sources.index(row.source) + 1}]") for row in published]
    rows.append((name, *_cells(report.measured[direction]), ""))
    widths = [max(len(row[place]) for row in rows) for place in range(len(COLUMNS) + 1)]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:-1], widths[1:]), row[-1]]).rstrip() for row in rows
    ]
    title = DIRECTION_NAMES[direction] + (f", {table.title}" if table else "")
    footnotes = [f"[{place}] {source}" for place, source in enumerate(sources, start=1)]
    footnotes += [*_notes(report, table, direction), *report.notes]
    return "\n".join([title, *lines, "", *footnotes])


def _notes(report: EvaluationReport, table: PublishedTable | None, direction: str) -> list[str]:
    found = report.measured[direction]
    queries = report.queries if direction == T2V else report.videos
    notes = [f"{report.queries} captions, {report.videos} videos, rule {report.rule}"]
    if report.rule != DEFAULT_RULE:
        notes.append(f"{report.rule}: {RULES[report.rule].what}")
    if found.counted != queries:
        notes.append(f"The rule makes {found.counted} samples of {queries} queries.")
    if found.at_least:
        notes.append(
            f"{' and '.join(found.at_least)}: at least that, for answers ended before some of the right videos."
        )
    if found.fractions:
        notes.append("The rule's own recalls are fractions; the table shows per cent.")
    if table is not None and (report.queries, report.videos) != (table.queries, table.videos):
        notes.append(
            f"NOT THE PUBLISHED TEST SET: that has {table.queries} captions of {table.videos} videos, "
            f"this one {report.queries} of {report.videos}."
        )
    if report.postprocessing is not None:
        notes.append(f"{report.postprocessing} used other queries of the set: a server can't rank like this.")
    return notes


def _cells(found: Measurement) -> list[str]:
    scale = 100 if found.fractions else 1
    values = (scale * found.r1, scale * found.r5, scale * found.r10, found.mdr, found.mnr)
    return [
        (">=" if name in found.at_least else "") + _cell(value) for name, value in zip(COLUMNS, values, strict=True)
    ]


def _cell(value: float | None) -> str:
    return _ABSENT if value is None else f"{value:.1f}"
