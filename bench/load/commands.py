"""The load commands of ``framesift bench``: load, overload and soak."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .options import clock, results, server, server_options, show, show_verdict, texts

if TYPE_CHECKING:
    from .clients import Clients
    from .kept import Kept
    from .target import Target
    from .windows import Row

_INDEXERS = 1
# Of indexing a video: queues are short, and windows hold few requests.
_AT_ONCE = (1, 2, 4, 8)
_FRACTIONS = (0.25, 0.5, 0.75, 0.9, 1.0)
_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)

_probe_option = click.option(
    "--probe-seconds",
    default=8.0,
    show_default=True,
    type=click.FloatRange(1),
    help="For each level of load at the beginning, which find out how much the server can answer.",
)
_videos_option = click.option(
    "--videos", type=_FOLDER, help="Folder of video files to index. [default: 48 generated clips]"
)


@click.command("load", short_help="A server under growing load, up to saturation.")
@server_options
@click.option(
    "--scenario",
    type=click.Choice(["search", "index", "mixed"]),
    default="search",
    show_default=True,
    help="Searches, indexing, or searches beside indexing.",
)
@click.option("--seconds", default=10.0, show_default=True, type=click.FloatRange(1), help="For each level of load.")
@_videos_option
@click.option(
    "--target-ms",
    type=click.FloatRange(0, min_open=True),
    help="When mixed: p99 that searches must keep. [default: 3 times theirs without indexing]",
)
def load_command(scenario: str, seconds: float, videos: Path | None, target_ms: float | None, **named: Any) -> None:
    """Sweep the load on a server up to saturation, and name the knee, from which on latency climbs steeply.

    First 1, 2, 4 ... 64 requests are under way all the time, which finds the most that the server can do; then requests
    arrive at random moments at a tenth of that rate up to more than all of it, and latency counts from the moment each
    was due, so that waiting is not left out. Rows tell percentiles, throughput, errors by gRPC status, and what Triton
    server and the operating system say of every model; `framesift bench report` draws them. After Ctrl-C the rows so
    far are kept. Searches take about four minutes. Where NVIDIA's perf_analyzer is on the PATH it measures five of
    the levels too.

    With --url, indexing adds videos to that server's gallery, with ids under framesift-bench/.

    \b
    Examples:
      framesift bench load bundles/mine
      framesift bench load --url 127.0.0.1:8001 --queries queries.txt --scenario mixed --videos clips/
    """
    from .kept import Kept
    from .mixed import mixed
    from .sweep import sweep
    from .windows import Observer

    folder = results(named["results"])
    with ExitStack() as stack:
        target = stack.enter_context(_server(named))
        observer = stack.enter_context(Observer(target))
        kept = stack.enter_context(Kept("load", folder, show))
        if scenario == "mixed":
            searching, indexing = _searching(stack, target, named), _indexing(stack, target, videos, named)
            rows = mixed(observer, searching, indexing, seconds, kept, target_ms)
        elif scenario == "index":
            indexing = _indexing(stack, target, videos, named)
            rows = sweep(observer, indexing, scenario, seconds, kept, concurrency=_AT_ONCE, fractions=_FRACTIONS)
        else:
            searching, beside = _searching(stack, target, named), _perf_analyzer(stack, target, seconds, named)
            rows = sweep(observer, searching, scenario, seconds, kept, beside=beside)
        _finish(kept, rows)


@click.command("overload", short_help="Three times what a server can answer.")
@server_options
@click.option("--seconds", default=120.0, show_default=True, type=click.FloatRange(1), help="How long it lasts.")
@_probe_option
def overload_command(seconds: float, probe_seconds: float, **named: Any) -> None:
    """Send three times as many searches as a server can answer, and see what it does.

    It should refuse the excess at once, with a status that says to try again; answer the others within three times the
    p99 that it has at 80 % of what it can answer; keep its memory flat; and keep that p99 again within five seconds, at
    half of what it can answer. The exit status is 1 if something did not hold.

    \b
    Example:
      framesift bench overload bundles/mine --seconds 120
    """
    from .kept import Kept
    from .overload import AFTER_S, overload
    from .windows import Observer

    folder = results(named["results"])
    with ExitStack() as stack:
        target = stack.enter_context(_server(named))
        observer = stack.enter_context(Observer(target))
        kept = stack.enter_context(Kept("overload", folder, show))
        clients, later = (_searching(stack, target, named) for _ in range(2))
        bar = stack.enter_context(clock("overload and after", seconds + AFTER_S))
        _finish(kept, overload(observer, target, clients, later, seconds, probe_seconds, kept, bar))


@click.command("soak", short_help="A server under load for a long time.")
@server_options
@click.option(
    "--minutes",
    default=20.0,
    show_default=True,
    type=click.FloatRange(0, min_open=True),
    help="How long it lasts.",
)
@_probe_option
@_videos_option
def soak_command(minutes: float, probe_seconds: float, videos: Path | None, **named: Any) -> None:
    """Load a server for a long time, and see whether its memory grows or anything fails.

    Searches arrive at half of what it can answer, and a trickle of videos is indexed beside them. The memory of every
    process is looked at once a second; its trend is given with a 95 % confidence interval. Ctrl-C ends it early, with
    what was seen until then. A process that grows by under 1 MB is flat; in the first minutes caches still fill. The
    exit status is 1 if something did not hold.

    \b
    Example:
      framesift bench soak bundles/mine --minutes 20
    """
    from .kept import Kept
    from .soak import soak
    from .windows import Observer

    folder = results(named["results"])
    with ExitStack() as stack:
        target = stack.enter_context(_server(named))
        observer = stack.enter_context(Observer(target))
        kept = stack.enter_context(Kept("soak", folder, show))
        searching = _searching(stack, target, named)
        indexing = _indexing(stack, target, videos, named, renew=True)
        bar = stack.enter_context(clock("soaking", 60 * minutes))
        _finish(kept, soak(observer, target, searching, indexing, 60 * minutes, probe_seconds, kept, bar))


def _perf_analyzer(stack: ExitStack, target: Target, seconds: float, named: dict[str, Any]) -> Callable[[Row], None]:
    import tempfile

    from .perf_analyzer import PerfAnalyzer, missing

    if reason := missing():
        click.echo(f"{reason}; its figures are left out", err=True)
        return lambda _: None
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="framesift-bench-")))
    return PerfAnalyzer(target.address, texts(named["queries"]), named["top"], seconds, folder)


def _server(named: dict[str, Any]) -> Any:
    return server(*(named[name] for name in ("bundle", "url", "metrics", "gallery_size", "cache")))


def _searching(stack: ExitStack, target: Target, named: dict[str, Any]) -> Clients:
    from .clients import Clients
    from .worker import Work

    work = Work(target.address, texts(named["queries"]), named["top"], timeout_s=named["timeout"])
    return stack.enter_context(Clients(work, named["clients"]))


def _indexing(
    stack: ExitStack, target: Target, folder: Path | None, named: dict[str, Any], *, renew: bool = False
) -> Clients:
    import tempfile

    from . import videos
    from .clients import Clients
    from .worker import Work

    if folder is None:
        made = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="framesift-bench-")))
        with click.progressbar(length=videos.COUNT, label="videos to index") as bar:
            paths = videos.generate(made, done=bar.update)
    else:
        paths = videos.find(folder)
    # Ids must be new to the gallery in every run.
    work = Work(target.address, videos=paths, renew=renew, seed=int(time.time()), timeout_s=named["timeout"])
    return stack.enter_context(Clients(work, _INDEXERS))


def _finish(kept: Kept, rows: list[Row]) -> None:
    path = kept.finish(rows)
    for row in rows:
        if row.get("knee"):
            click.echo(f"knee: {row['offered_qps']:.1f}/s, p50 {row['p50_ms']:.1f} ms, p99 {row['p99_ms']:.1f} ms")
    show_verdict(rows[-1])
    click.echo(f"rows in {path}")
    if False in rows[-1].get("holds", {}).values():
        raise click.exceptions.Exit(1)
