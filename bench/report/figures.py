"""The pictures of the report, each from the rows of its kind; None where there are no rows for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter

from ..rows import Row
from ..scorer_work import work

Rows = Mapping[str, Sequence[Row]]
Drawing = Callable[[Rows], Figure | None]

_SIZE = (7.2, 3.6)
_OPEN = "open"
# Of the CPU: a process that used less had nothing to do.
_SHOWN = 0.001


def latency_against_load(rows: Rows) -> Figure | None:
    """p50 and p99 of searches against the load that was offered, a curve for each model; a dot marks the knee."""
    found = [row for row in rows["load"] if row["scenario"] == "search" and row["loop"] == _OPEN and row["p99_ms"]]
    if not found:
        return None
    figure, axes = _drawing("queries a second, offered", "ms")
    for number, model in enumerate(dict.fromkeys(row["model"] for row in found)):
        own = sorted((row for row in found if row["model"] == model), key=lambda row: float(row["offered_qps"]))
        loads = [row["offered_qps"] for row in own]
        for name, style in (("p50_ms", "--"), ("p99_ms", "-")):
            axes.plot(loads, [row[name] for row in own], style, color=f"C{number}", label=f"{model}, {name[:-3]}")
        for row in own:
            if row["knee"]:
                axes.plot(row["offered_qps"], row["p99_ms"], "o", color=f"C{number}")
    _logarithmic(axes)
    axes.legend()
    return figure


def waterfall(rows: Rows) -> Figure | None:
    """One search at concurrency 1: the stages in process, one after another, and what it takes served."""
    found = one_search(rows)
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


def one_search(rows: Rows) -> dict[str, tuple[dict[str, float], float]]:
    """For each model p50 in ms of the stages that a search passes through, by themselves over 10,000 videos, and of one
    search at a time through the server. Models that lack one of them are left out.
    """
    # As a search is served; the compiled scorer of text-conditioned attention goes by a name of its own.
    wanted = {"tokenise": {"framesift"}, "text tower": {"onnxruntime"}, "score+top-n": {"native", "framesift"}}
    steps: dict[str, dict[str, float]] = {}
    for stage, engines in wanted.items():
        for row in rows["stages"]:
            fits = row["stage"] == stage and row["batch"] == 1 and row["videos"] in (None, 10_000)
            if fits and row["engine"] in engines:
                steps.setdefault(row["model"], {})[stage] = row["p50_ms"]
    loops = [row for row in rows["load"] if row["scenario"] == "search" and row["loop"] == "closed"]
    served = {row["model"]: row["p50_ms"] for row in loops if row["concurrency"] == 1}
    whole = (model for model, own in steps.items() if len(own) == len(wanted) and model in served)
    return {model: (steps[model], served[model]) for model in whole}


def throughput_against_batch(rows: Rows) -> Figure | None:
    """Texts a second of the text tower against the batch, a curve for each model and engine."""
    found = [row for row in rows["stages"] if row["stage"] == "text tower"]
    if not found:
        return None
    figure, axes = _drawing("texts in a batch", "texts a second")
    for model, engine in dict.fromkeys((row["model"], row["engine"]) for row in found):
        own = [row for row in found if (row["model"], row["engine"]) == (model, engine)]
        places = [row["batch"] for row in own]
        axes.plot(places, [1e3 / row["per_item_ms"] for row in own], "o-", label=f"{model}, {engine}")
    axes.set_xscale("log", base=2)
    _plain_numbers(axes.xaxis, 2)
    _logarithmic(axes)
    axes.legend(fontsize="small", loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def roofline(rows: Rows) -> Figure | None:
    """The scorer's rate on a GPU against operations per byte, under what copies and matrix products reach there."""
    found = [row for row in rows["gpu_scoring"] if row["case"] == "kernel scores"]
    if not found:
        return None
    figure, axes = _drawing("operations per byte that must move", "TFLOP/s")
    read, multiplied = found[0]["copy_bytes_per_s"], found[0]["matrix_flop_per_s"]
    limits = [1.0, multiplied / read, 4 * multiplied / read]
    axes.plot(limits, [min(x * read, multiplied) / 1e12 for x in limits], color="0.6", label=found[0]["device"])
    largest = max(row["videos"] for row in found)
    for storage in dict.fromkeys(row["storage"] for row in found):
        own = [row for row in found if row["storage"] == storage and row["videos"] == largest]
        points = [roofline_point(row) for row in own]
        label = f"{storage}: {', '.join(str(row['queries']) for row in own)} queries"
        axes.plot([x for x, _ in points], [rate / 1e12 for _, rate in points], "o", label=label)
    axes.set_xscale("log")
    _plain_numbers(axes.xaxis)
    _logarithmic(axes)
    axes.legend(fontsize="small")
    return figure


def roofline_point(row: Row) -> tuple[float, float]:
    """Operations per byte that must move, and operations a second, of a row of ``gpu_scoring``."""
    least = work(row["queries"], row["videos"], row["storage"])
    return least.operations / least.bytes, 1e3 * least.operations / row["p50_ms"]


def compute(rows: Rows) -> Figure | None:
    """Where the CPU went at saturation: in each of the server's processes the models' own work, and the rest."""
    found = saturated(rows["load"])
    if not found:
        return None
    figure, axes = _drawing("part of the server's CPU", "")
    for model, row in reversed(found.items()):
        total = sum(used["cpu_s"] for used in row["server"].values())
        for name, used in sorted(row["server"].items(), key=lambda item: float(item[1]["cpu_s"])):
            share, own = used["cpu_s"] / total, (used["compute_s"] or 0.0) / total
            if share >= _SHOWN:
                axes.barh(f"{model}, {name}", own, color="C0")
                axes.barh(f"{model}, {name}", share - own, left=own, color="0.7")
    return figure


def saturated(found: Sequence[Row]) -> dict[str, Row]:
    """For each model the closed loop of searches with the most answers a second."""
    loops = [row for row in found if row["scenario"] == "search" and row["loop"] == "closed" and row["server"]]
    return {row["model"]: row for row in sorted(loops, key=lambda row: float(row["qps"]))}


def overload(rows: Rows) -> Figure | None:
    """Every second of an overload and what followed: answers and refusals."""
    phases = [row for row in rows["overload"] if row.get("timeline")]
    if not phases:
        return None
    figure, axes = _drawing("seconds", "requests a second")
    start = 0.0
    for row in phases[-2:]:
        points = row["timeline"]
        seconds = [start + point["second"] for point in points]
        shown = row["phase"] == "overload"
        for number, name in enumerate(("answered", "refused")):
            label = name if shown else None
            axes.plot(seconds, [point[name] for point in points], color=f"C{number}", label=label)
        start += row["duration_s"]
    axes.legend()
    return figure


def memory(rows: Rows) -> Figure | None:
    """Resident memory of the server's processes over a soak."""
    points = next((row["memory"] for row in rows["soak"] if isinstance(row.get("memory"), list)), None)
    if not points:
        return None
    figure, axes = _drawing("minutes", "MB")
    for name in points[0]["rss_mb"]:
        own = [(point["second"] / 60, point["rss_mb"][name]) for point in points if name in point["rss_mb"]]
        axes.plot([x for x, _ in own], [y for _, y in own], label=name)
    axes.legend(fontsize="small", loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def quality_against_speed(rows: Rows) -> Figure | None:
    """For each storage of the gallery how much of the exact ten best is found, against the time of a search."""
    found = rows["storages"]
    if not found:
        return None
    figure, axes = _drawing("ms a search of 10,000 videos, one thread", "top-10 overlap with float64")
    for number, row in enumerate(found):
        axes.plot(row["p50_ms"], row["overlap"], "o", color=f"C{number}")
        label = f" {row['storage']}, {row['bytes_per_video'] / 1e3:.1f} kB a video"
        axes.annotate(label, (row["p50_ms"], row["overlap"]))
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
