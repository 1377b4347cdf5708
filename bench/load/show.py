"""What the load commands print."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator

import click

from ..schema.load import Verdict, Window


def show(row: Window) -> None:
    """Print what matters of a row, on one line."""
    level = f"{row.concurrency} at once" if row.loop == "closed" else f"{row.offered_qps:.1f}/s offered"
    cells = [f"{row.work or row.scenario:>6} {level:>16}: {row.qps:8.1f}/s"]
    latency = row.latency
    times = {"p50": latency.p50_ms, "p95": latency.p95_ms, "p99": latency.p99_ms, "max": latency.max_ms}
    cells += [f"{name} {_number(time)}" for name, time in times.items()]
    failed = row.failed - row.refused
    cells += [f"{row.refused} refused"] * bool(row.refused) + [f"{failed} failed"] * bool(failed)
    if row.clients_kept_up is False:
        cells.append("the clients fell behind")
    if theirs := row.perf_analyzer:
        figures = f"{theirs.qps or 0:.1f}/s p50 {_number(theirs.p50_ms)} p99 {_number(theirs.p99_ms)}"
        cells.append(f"(perf_analyzer: {theirs.failed or figures})")
    click.echo("  ".join(cells))


def show_verdict(verdict: Verdict) -> None:
    """Print what held and what did not, and by which figures."""
    if verdict.ended_early:
        click.echo(f"ended early, after {verdict.lasted_s:.0f} s")
    for name, held in verdict.holds.items():
        click.echo(f"{name}: {'not seen' if held is None else 'yes' if held else 'NO'} ({verdict.because[name]})")


@contextlib.contextmanager
def clock(label: str, seconds: float) -> Iterator[Callable[[], None]]:
    """A progress bar on standard error that follows the clock, from the first call of what it yields on."""
    started: list[float] = []
    with click.progressbar(length=int(seconds), label=label, file=sys.stderr) as bar:

        def tick() -> None:
            started.extend([] if started else [time.monotonic()])
            bar.update(min(int(time.monotonic() - started[0]), int(seconds)) - bar.pos)

        yield tick


def _number(value: float | None) -> str:
    return "    - ms" if value is None else f"{value:6.1f} ms"
