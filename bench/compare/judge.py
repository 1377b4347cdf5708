"""What became slower or faster, case by case."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..schema.rows import Change
from .change import change

Runs = Mapping[str, list[list[float]]]


def judged(
    base: Runs, head: Runs, margin: float, *, commits: tuple[str, str] = ("", ""), model: str = "", videos: int = 0
) -> list[Change]:
    """A row for every case that both versions have, the largest slowdown first."""
    rows = []
    for case in base.keys() & head.keys():
        found = change(base[case], head[case], margin)
        rows.append(
            Change(
                base=commits[0],
                head=commits[1],
                model=model,
                videos=videos,
                case=case,
                base_ms=round(1e3 * found.base_s, 5),
                head_ms=round(1e3 * found.head_s, 5),
                ratio=round(found.ratio, 6),
                low=round(found.low, 6),
                high=round(found.high, 6),
                p=round(found.p, 6),
                verdict=found.verdict,
                rounds=len(base[case]),
            )
        )
    return sorted(rows, key=lambda row: (-row.ratio, row.case))


def table(rows: Sequence[Change]) -> str:
    """The rows as aligned text."""
    width = max((len(row.case) for row in rows), default=4)
    lines = [f"{'case':{width}}{'base ms':>11}{'head ms':>11}{'ratio':>8}{'99 % interval':>16}{'p':>8}"]
    for row in rows:
        interval = f"{row.low:.3f}..{row.high:.3f}"
        mark = "" if row.verdict == "same" else f"  {row.verdict.upper()}"
        lines.append(
            f"{row.case:{width}}{row.base_ms:>11.3f}{row.head_ms:>11.3f}{row.ratio:>8.3f}{interval:>16}{row.p:>8.4f}{mark}"
        )
    return "\n".join(lines)


def summary(rows: Sequence[Change], margin: float) -> str:
    """How many cases changed, and how large a change noise could have hidden in the others."""
    found = [row.verdict for row in rows]
    told = f"{found.count('slower')} slower, {found.count('faster')} faster, {found.count('same')} the same"
    reach = max((max(row.high - 1, 1 - row.low) for row in rows if row.verdict == "same"), default=0.0)
    if reach <= 2 * margin:
        return told
    return (
        f"{told} within noise, which could hide a change of up to {reach:.0%}: a quieter machine or more --rounds and "
        "--seconds narrow that"
    )
