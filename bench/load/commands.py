"""The load commands of ``framesift bench``: load, overload and soak."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ...export.bundle.dependent import Dependent
from .options import Given, clips_option, probe_option, server_options

if TYPE_CHECKING:
    from ..schema.files import RowWriter
    from ..schema.load import Window
    from ..schema.row import Row
    from .target import Target

# Of indexing a video: queues are short, and windows hold few requests.
_AT_ONCE = (1, 2, 4, 8)
_FRACTIONS = (0.25, 0.5, 0.75, 0.9, 1.0)


@click.command("load", short_help="A server under growing load, up to saturation.")
@click.option(
    "--scenario",
    type=click.Choice(["search", "index", "mixed"]),
    default="search",
    show_default=True,
    help="Searches, indexing, or searches beside indexing.",
)
@click.option("--seconds", default=10.0, show_default=True, type=click.FloatRange(1), help="For each level of load.")
@clips_option(needs=("--scenario index", "--scenario mixed"))
@click.option(
    "--target-ms",
    cls=Dependent,
    needs=("--scenario mixed",),
    type=click.FloatRange(0, min_open=True),
    help="When mixed: p99 that searches must keep. [default: 3 times theirs without indexing]",
)
@server_options
def load_command(given: Given, scenario: str, seconds: float, clips: Path | None, target_ms: float | None) -> None:
    """Sweep the load on a server up to saturation, and name the knee, from which on latency climbs steeply.

    First 1, 2, 4 ... 64 requests are in flight all the time, which finds the most that the server can do; then requests
    arrive at random moments at a tenth of that rate up to more than all of it, and latency counts from the moment each
    was due, so that waiting is not left out. Rows hold percentiles, throughput, errors by gRPC status, and what Triton
    server and the operating system report of every model; `framesift bench report` draws them. After Ctrl-C the rows so
    far are kept. Searches take about four minutes. Where NVIDIA's perf_analyzer is on the PATH it measures five of
    the levels too.

    With --server, indexing adds videos to that server's gallery, with ids under framesift-bench/.

    \b
    Examples:
      framesift bench load bundles/mine
      framesift bench load --server 127.0.0.1:8001 --queries queries.txt --scenario mixed --clips clips/
    """
    from .measurement_window import Observer
    from .mixed import mixed
    from .sweep import sweep

    target = given.target()
    observer, writer = given.stack.enter_context(Observer(target)), _writer(given, "load")
    if scenario == "mixed":
        rows = mixed(observer, given.searching(target), given.indexing(target, clips), seconds, writer, target_ms)
    elif scenario == "index":
        indexing = given.indexing(target, clips)
        rows = sweep(observer, indexing, scenario, seconds, writer, concurrency=_AT_ONCE, fractions=_FRACTIONS)
    else:
        beside = _perf_analyzer(given, target, seconds)
        rows = sweep(observer, given.searching(target), scenario, seconds, writer, beside=beside)
    _finish(writer, rows)


@click.command("overload", short_help="Three times what a server can answer.")
@click.option("--seconds", default=120.0, show_default=True, type=click.FloatRange(1), help="How long it lasts.")
@probe_option
@server_options
def overload_command(given: Given, seconds: float, probe_seconds: float) -> None:
    """Send three times as many searches as a server can answer, and see what it does.

    It should refuse the excess at once, with a status that says to try again; answer the others within three times the
    p99 that it has at 80 % of what it can answer; keep its memory flat; and keep that p99 again within five seconds, at
    half of what it can answer. The exit status is 1 if something did not hold.

    \b
    Example:
      framesift bench overload bundles/mine --seconds 120
    """
    from .measurement_window import Observer
    from .overload import AFTER_S, overload
    from .show import clock

    target = given.target()
    observer, writer = given.stack.enter_context(Observer(target)), _writer(given, "overload")
    clients, later = (given.searching(target) for _ in range(2))
    bar = given.stack.enter_context(clock("overload and after", seconds + AFTER_S))
    _finish(writer, overload(observer, clients, later, seconds, probe_seconds, writer, bar))


@click.command("soak", short_help="A server under load for a long time.")
@click.option(
    "--minutes",
    default=20.0,
    show_default=True,
    type=click.FloatRange(0, min_open=True),
    help="How long it lasts.",
)
@probe_option
@clips_option()
@server_options
def soak_command(given: Given, minutes: float, probe_seconds: float, clips: Path | None) -> None:
    """Load a server for a long time, and see whether its memory grows or anything fails.

    Searches arrive at half of what it can answer, and a trickle of videos is indexed beside them. The memory of every
    process is looked at once a second; its trend is given with a 95 % confidence interval. Ctrl-C ends it early, with
    what was seen until then. A process that grows by under 1 MB is flat; in the first minutes caches still fill. The
    exit status is 1 if something did not hold.

    \b
    Example:
      framesift bench soak bundles/mine --minutes 20
    """
    from .measurement_window import Observer
    from .show import clock
    from .soak import soak

    target = given.target()
    observer, writer = given.stack.enter_context(Observer(target)), _writer(given, "soak")
    searching, indexing = given.searching(target), given.indexing(target, clips, renew=True)
    bar = given.stack.enter_context(clock("soaking", 60 * minutes))
    _finish(writer, soak(observer, searching, indexing, 60 * minutes, probe_seconds, writer, bar))


def _writer(given: Given, file: str) -> RowWriter[Window]:
    from ..schema.files import RowWriter
    from .show import show

    return given.stack.enter_context(RowWriter(file, given.results, show))


def _perf_analyzer(given: Given, target: Target, seconds: float) -> Callable[[Window], Window]:
    from .perf_analyzer import PerfAnalyzer, missing

    if reason := missing():
        click.echo(f"{reason}; its figures are left out", err=True)
        return lambda row: row
    return PerfAnalyzer(target.address, given.texts(), given.top, seconds, given.scratch())


def _finish(writer: RowWriter[Window], rows: Sequence[Row]) -> None:
    from ..schema.load import Verdict, Window
    from .show import show_verdict

    path = writer.finish(rows)
    for row in rows:
        if isinstance(row, Window) and row.knee and row.offered_qps:
            click.echo(f"knee: {row.offered_qps:.1f}/s, p50 {row.latency.p50_ms} ms, p99 {row.latency.p99_ms} ms")
        if isinstance(row, Verdict):
            show_verdict(row)
    click.echo(f"rows in {path}")
    if any(isinstance(row, Verdict) and False in row.holds.values() for row in rows):
        raise click.exceptions.Exit(1)
