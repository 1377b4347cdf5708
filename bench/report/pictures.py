"""The pictures of the report, each from the rows of its kind; None where there are no rows for it."""

from __future__ import annotations

from collections.abc import Callable

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter

from ..gpu.floor import work
from ..schema.gpu import GpuScoring
from ..schema.kinds import GPU_SCORING, OVERLOAD, SOAK, STAGES, STORAGES
from .results import Results
from .waterfall import one_search

Drawing = Callable[[Results], Figure | None]

_SIZE = (7.2, 3.6)
# Of the CPU: a process that used less had nothing to do.
_SHOWN = 0.001


def latency_against_load(results: Results) -> Figure | None:
    """p50 and p99 of searches against the load that was offered, a curve for each model; a dot marks the knee."""
    found = [row for row in results.searches() if row.offered_qps is not None and row.latency.p99_ms]
    if not found:
        return None
    figure, axes = _drawing("queries a second, offered", "ms")
    for number, model in enumerate(dict.fromkeys(row.model for row in found)):
        own = sorted((row for row in found if row.model == model), key=lambda row: row.offered_qps or 0.0)
        loads, p50, p99 = zip(*((row.offered_qps, row.latency.p50_ms, row.latency.p99_ms) for row in own), strict=True)
        for name, times, style in (("p50", p50, "--"), ("p99", p99, "-")):
            axes.plot(loads, times, style, color=f"C{number}", label=f"{model}, {name}")
        for row in own:
            if row.knee:
                axes.plot(row.offered_qps or 0.0, row.latency.p99_ms or 0.0, "o", color=f"C{number}")
    _logarithmic(axes)
    axes.legend()
    return figure


def waterfall(results: Results) -> Figure | None:
    """One search at concurrency 1: the stages in process, one after another, and what it takes served."""
    found = one_search(results)
    if not found:
        return None
    figure, axes = _drawing("ms", "")
    named = next(iter(found))
    for model, (steps, served) in reversed(found.items()):
        left = 0.0
        for number, (stage, time) in enumerate(steps.items()):
            label = stage if model == named else None
            axes.barh(f"{model}, stages", time, left=left, color=f"C{number}", label=label)
            left += time
        axes.barh(f"{model}, served", served, color="0.6")
        axes.axvline(2 * left, color="0.8", linewidth=1)
    axes.legend()
    return figure


def throughput_against_batch(results: Results) -> Figure | None:
    """Texts a second of the text tower against the batch, a curve for each model and engine."""
    found = [row for row in results.of(STAGES) if row.stage == "text tower"]
    if not found:
        return None
    figure, axes = _drawing("texts in a batch", "texts a second")
    for model, engine in dict.fromkeys((row.model, row.engine) for row in found):
        own = [row for row in found if (row.model, row.engine) == (model, engine)]
        places = [row.batch for row in own]
        axes.plot(places, [1e3 / row.per_item_ms for row in own], "o-", label=f"{model}, {engine}")
    axes.set_xscale("log", base=2)
    _plain_numbers(axes.xaxis, 2)
    _logarithmic(axes)
    axes.legend(fontsize="small", loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def roofline(results: Results) -> Figure | None:
    """The scorer's rate on a GPU against operations per byte, under what copies and matrix products reach there."""
    found = [row for row in results.of(GPU_SCORING) if row.case == "kernel scores"]
    if not found:
        return None
    figure, axes = _drawing("operations per byte that must move", "TFLOP/s")
    read, multiplied = found[0].copy_bytes_per_s, found[0].matrix_flop_per_s
    limits = [1.0, multiplied / read, 4 * multiplied / read]
    axes.plot(limits, [min(x * read, multiplied) / 1e12 for x in limits], color="0.6", label=found[0].machine.device)
    largest = max(row.videos for row in found)
    for storage in dict.fromkeys(row.storage for row in found):
        own = [row for row in found if row.storage == storage and row.videos == largest]
        points = [roofline_point(row) for row in own]
        label = f"{storage}: {', '.join(str(row.queries) for row in own)} queries"
        axes.plot([x for x, _ in points], [rate / 1e12 for _, rate in points], "o", label=label)
    axes.set_xscale("log")
    _plain_numbers(axes.xaxis)
    _logarithmic(axes)
    axes.legend(fontsize="small")
    return figure


def roofline_point(row: GpuScoring) -> tuple[float, float]:
    """Operations per byte that must move, and operations a second."""
    least = work(row.queries, row.videos, row.storage)
    return least.operations / least.bytes, 1e3 * least.operations / row.p50_ms


def compute(results: Results) -> Figure | None:
    """Where the CPU went at saturation: in each of the server's processes the models' own work, and the rest."""
    found = results.saturated()
    if not found:
        return None
    figure, axes = _drawing("part of the server's CPU", "")
    for model, row in reversed(found.items()):
        processes = row.server.processes
        total = sum(used.cpu_s for used in processes.values())
        for name, used in sorted(processes.items(), key=lambda item: item[1].cpu_s):
            share, own = used.cpu_s / total, (used.compute_s or 0.0) / total
            if share >= _SHOWN:
                axes.barh(f"{model}, {name}", own, color="C0")
                axes.barh(f"{model}, {name}", share - own, left=own, color="0.7")
    return figure


def overload(results: Results) -> Figure | None:
    """Every second of an overload and what followed: answers and refusals."""
    phases = [row for row in results.of(OVERLOAD) if row.timeline]
    if not phases:
        return None
    figure, axes = _drawing("seconds", "requests a second")
    start = 0.0
    for row in phases[-2:]:
        seconds = [start + point.second for point in row.timeline]
        counts = {"answered": [p.answered for p in row.timeline], "refused": [p.refused for p in row.timeline]}
        for number, (name, values) in enumerate(counts.items()):
            axes.plot(seconds, values, color=f"C{number}", label=name if row.phase == "overload" else None)
        start += row.duration_s
    axes.legend()
    return figure


def memory(results: Results) -> Figure | None:
    """Resident memory of the server's processes over a soak."""
    samples = next((row.memory for row in results.of(SOAK) if row.memory), None)
    if not samples:
        return None
    figure, axes = _drawing("minutes", "MB")
    for name in samples[0].rss_mb:
        own = [(sample.second / 60, sample.rss_mb[name]) for sample in samples if name in sample.rss_mb]
        axes.plot([x for x, _ in own], [y for _, y in own], label=name)
    axes.legend(fontsize="small", loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def quality_against_speed(results: Results) -> Figure | None:
    """For each storage of the gallery how much of the exact ten best is found, against the time of a search."""
    found = results.of(STORAGES)
    if not found:
        return None
    figure, axes = _drawing(f"ms a search of {found[0].videos:,} videos", "top-10 overlap with float64")
    for number, row in enumerate(found):
        axes.plot(row.p50_ms, row.overlap, "o", color=f"C{number}")
        axes.annotate(f" {row.storage}, {row.bytes_per_video / 1e3:.1f} kB a video", (row.p50_ms, row.overlap))
    axes.margins(x=0.3)
    return figure


def _logarithmic(axes: Axes) -> None:
    axes.set_yscale("log")
    _plain_numbers(axes.yaxis)


def _plain_numbers(axis: Axis, base: int = 10) -> None:
    """Label a logarithmic axis with 400, not with 4 times a power of ten."""
    axis.set_major_formatter(LogFormatter(base))
    axis.set_minor_formatter(LogFormatter(base, labelOnlyBase=False, minor_thresholds=(2, 0.5)))


def _drawing(x: str, y: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=_SIZE, layout="constrained")
    axes = figure.subplots()
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    return figure, axes
