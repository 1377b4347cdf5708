"""The tables of the report and of the documentation: lines of cells, the first of them the head."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from ..rows import Row
from .figures import Rows, one_search, saturated

Lines = list[list[str]]
Tabling = Callable[[Rows], Lines | None]

# What used less is there and had nothing to do.
_LEAST_CPU_S = 0.01
_SERVICES = {
    "framesift": "framesift on Triton server",
    "eager-fastapi": "eager PyTorch, published formula, FastAPI",
    "hf-faiss-fastapi": "Hugging Face CLIP, mean pooling, FAISS, FastAPI",
    "grpc-aio": "our engines in a plain gRPC server",
    "pytriton": "our engines behind PyTriton",
}


def load(rows: Rows) -> Lines | None:
    """Searches in closed loops and at offered loads; what perf_analyzer found at a level, if it was there."""
    found = [row for row in rows["load"] if row["scenario"] == "search"]
    beside = any(row.get("perf_analyzer") for row in found)
    head = ["model", "load", "queries/s", "p50 ms", "p95 ms", "p99 ms", "p99.9 ms", "refused", "compute"]
    lines = [head + ["perf_analyzer: queries/s", "p50 ms", "p99 ms"] * beside]
    for row in found:
        closed = row["loop"] == "closed"
        asked = f"{row['concurrency']} at a time" if closed else f"{row['offered_qps']:.0f} a second"
        share = row["compute_share"]
        lines.append(
            [
                row["model"],
                asked + (" (knee)" if row["knee"] else ""),
                f"{row['qps']:.0f}",
                *(_ms(row[name]) for name in ("p50_ms", "p95_ms", "p99_ms", "p999_ms")),
                str(row["refused"]),
                "" if share is None else f"{share:.0%}",
                *_perf_analyzer(row.get("perf_analyzer") or {}) * beside,
            ]
        )
    return lines if found else None


def waterfall(rows: Rows) -> Lines | None:
    """The stages of one search, their sum, and the search served."""
    found = one_search(rows)
    if not found:
        return None
    first, _ = next(iter(found.values()))
    lines = [["model", *first, "sum", "served, p50", "served over sum"]]
    for model, (steps, served) in found.items():
        total = sum(steps.values())
        times = [f"{time:.2f} ms" for time in (*steps.values(), total, served)]
        lines.append([model, *times, f"{served / total:.2f}"])
    return lines


def compute(rows: Rows) -> Lines | None:
    """Each process at saturation that used the CPU, of every model."""
    lines = [["model", "process", "CPU s", "its own work", "memory"]]
    for model, row in saturated(rows["load"]).items():
        for name, used in sorted(row["server"].items(), key=lambda item: -float(item[1]["cpu_s"])):
            if used["cpu_s"] < _LEAST_CPU_S:
                continue
            own = used["compute_s"]
            share = f"{own / used['cpu_s']:.0%}" if own is not None else ""
            lines.append([model, name, f"{used['cpu_s']:.2f}", share, f"{used['rss_mb']:.0f} MB"])
        whole = "" if row["compute_share"] is None else f"{row['compute_share']:.0%}"
        lines.append([model, f"all, at {row['qps']:.0f} queries/s", "", whole, ""])
    return lines if len(lines) > 1 else None


def against(rows: Rows) -> Lines | None:
    """All services at every concurrency, with ratios of throughput."""
    found = [row for row in rows["against"] if row.get("summary")]
    lines = [["model", "clients", "service", "queries/s", "p50 ms", "p99 ms", "of eager", "of HF and FAISS"]]
    for row in found:
        ratios = [_times(row[name]) if name in row else "" for name in ("ratio_qps_eager", "ratio_qps_hf")]
        service = _SERVICES.get(str(row["service"]), str(row["service"]))
        times = [_ms(row.get("p50_ms")), _ms(row.get("p99_ms"))]
        lines.append([row["model"], str(row["concurrency"]), service, f"{row['qps']:.1f}", *times, *ratios])
    return lines if found else None


def stages(rows: Rows) -> Lines | None:
    """Every stage, batch and engine."""
    lines = [["model", "stage", "batch", "gallery", "engine", "p20 ms", "p50 ms", "p80 ms", "of its baseline"]]
    for row in rows["stages"]:
        faster = "" if row["times_faster"] is None else f"{row['times_faster']:.2f}x"
        size = "" if row["videos"] is None else f"{row['videos']:,}"
        times = [f"{row[name]:.3f}" for name in ("p20_ms", "p50_ms", "p80_ms")]
        lines.append([row["model"], row["stage"], str(row["batch"]), size, row["engine"], *times, faster])
    return lines if rows["stages"] else None


def overload(rows: Rows) -> Lines | None:
    """What held in an overload."""
    return _verdict(rows["overload"])


def soak(rows: Rows) -> Lines | None:
    """What held in a long run."""
    return _verdict(rows["soak"])


def _verdict(found: Sequence[Row]) -> Lines | None:
    judged = [row for row in found if row.get("phase") == "verdict"]
    lines = [["model", "what must hold", "held"]]
    for row in judged:
        lines += [[row["model"], name, _told(held)] for name, held in row["holds"].items()]
    return lines if judged else None


def storages(rows: Rows) -> Lines | None:
    """Every storage of a gallery."""
    lines = [["storage", "bytes a video", "top-10 overlap", "first place kept", "largest error", "p50 of a search"]]
    for row in rows["storages"]:
        shares = [f"{row['overlap']:.4f}", f"{row['first']:.4f}", f"{row['error']:.0e}"]
        lines.append([row["storage"], f"{row['bytes_per_video']:,}", *shares, f"{row['p50_ms']:.2f} ms"])
    return lines if rows["storages"] else None


def markdown(lines: Lines) -> str:
    """Lines of cells as a Markdown table; numbers stand to the right."""
    head, *rest = lines
    right = ["---:" if rest and rest[0][place][:1].isdigit() else "---" for place in range(len(head))]
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, right, *rest))


def machine(found: Sequence[Mapping[str, object]]) -> str:
    """What rows were measured on, in one line."""
    if not found:
        return ""
    row = found[-1]
    cpu = f"{row['cpu']}, {row['cores']} cores" if "cpu" in row else ""
    names = ("device", "driver", "python", "onnxruntime", "torch", "numpy", "triton")
    versions = [f"{name} {row[name]}" for name in names if name in row]
    return ", ".join(part for part in (cpu, *versions, f"commit {row['commit']}", str(row["date"])) if part) + "."


def _perf_analyzer(found: Row) -> list[str]:
    if "failed" in found:
        return ["failed", "", ""]
    rate = found.get("qps")
    return ["" if rate is None else f"{rate:.0f}", *(_ms(found.get(name)) for name in ("p50_ms", "p99_ms"))]


def _times(ratio: float) -> str:
    return f"{ratio:.0f}x" if ratio >= 10 else f"{ratio:.1f}x" if ratio >= 1 else f"{ratio:.2f}x"


def _ms(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"


def _told(held: bool | None) -> str:
    return {True: "yes", False: "no", None: "not seen"}[held]
