"""What the loops of several services say together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median

from ..schema.load import Percentiles
from ..schema.rows import Loop, LoopSummary
from .services import EAGER, HUGGING_FACE

Case = tuple[str, int]


def summaries(rows: Sequence[Loop]) -> list[LoopSummary]:
    """Medians over the rounds for each service and concurrency, with ratios of throughput to the two baselines.

    A ratio is the median of the rounds' own ratios, because the loops of a round share the machine's other load.
    """
    cases: dict[Case, list[Loop]] = {}
    for row in rows:
        cases.setdefault((row.service, row.concurrency), []).append(row)
    return [
        LoopSummary(
            service=service,
            model=own[0].model,
            videos=own[0].videos,
            concurrency=concurrency,
            rounds=len(own),
            qps=round(median(row.qps for row in own), 3),
            requests=sum(row.requests for row in own),
            errors=sum(row.errors for row in own),
            latency=Percentiles(
                _middle(row.latency.p50_ms for row in own),
                _middle(row.latency.p95_ms for row in own),
                _middle(row.latency.p99_ms for row in own),
            ),
            ratio_qps_eager=_ratio(own, cases.get((EAGER, concurrency), [])),
            ratio_qps_hf=_ratio(own, cases.get((HUGGING_FACE, concurrency), [])),
        )
        for (service, concurrency), own in cases.items()
    ]


def table(rows: Iterable[LoopSummary]) -> str:
    """Summaries as aligned text."""
    lines = [f"{'clients':>7}  {'service':18}{'qps':>9}{'p50 ms':>10}{'p99 ms':>10}{'x eager':>10}{'x hf':>8}"]
    for row in sorted(rows, key=lambda row: row.concurrency):
        ratios = ["" if ratio is None else f"{ratio:.2f}" for ratio in (row.ratio_qps_eager, row.ratio_qps_hf)]
        lines.append(
            f"{row.concurrency:>7}  {row.service:18}{row.qps:>9.1f}{row.latency.p50_ms or 0:>10.1f}"
            f"{row.latency.p99_ms or 0:>10.1f}{ratios[0]:>10}{ratios[1]:>8}"
        )
    return "\n".join(lines)


def _middle(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(median(known), 3) if known else None


def _ratio(own: Sequence[Loop], other: Sequence[Loop]) -> float | None:
    ratios = [mine.qps / theirs.qps for mine, theirs in zip(own, other, strict=False) if theirs.qps]
    return round(median(ratios), 3) if ratios else None
