"""The tables of galleries beyond one machine."""

from __future__ import annotations

from typing import Any

from ..report.cells import Lines
from ..report.results import Results, measured_on
from ..schema.kinds import GALLERY, GPU_ENCODING, GPU_SCORING, INDEXING, LOAD, SOAK, STAGES
from ..schema.load import Window
from ..schema.row import Kind
from .machines import EXACT, Scan, cpu_rate, gpu_rate, ways
from .tail import drawn, simulate

SIZES = (10**6, 10**8, 10**9)
SHARDS = (1, 10, 100, 1000)
# Of the machines: the first was measured with less, which its rate does not depend on.
_CPU_MEMORY, _GPU_MEMORY = 64 << 30, 139 << 30
_WITHIN_S = 0.5
_DAY_S = 86_400


def scans(results: Results) -> list[Scan]:
    """The machines whose rates were measured."""
    rates = (
        ("2 cores of an AMD EPYC, 64 GiB", cpu_rate(results.of(STAGES)), _CPU_MEMORY, False),
        ("one NVIDIA H200, 139 GiB", gpu_rate(results.of(GPU_SCORING)), _GPU_MEMORY, True),
    )
    return [Scan(name, rate, memory, only) for name, rate, memory, only in rates if rate is not None]


def sizes(results: Results) -> Lines | None:
    """Bytes of galleries, and machines for them."""
    found = scans(results)
    if not found:
        return None
    lines = [["videos", "kept as", "bytes", *(f"{scan.name}: machines, and seconds of a search" for scan in found)]]
    for videos in SIZES:
        for kept in ways(results.of(GALLERY)):
            cells = []
            for scan in found:
                if kept.name != EXACT and scan.exact_only:
                    cells.append("")
                    continue
                count = scan.machines(videos, kept, _WITHIN_S)
                cells.append(f"{count:,}, {scan.seconds(-(-videos // count), kept):.3f} s")
            lines.append([f"{videos:,}", kept.name, _in_bytes(videos * kept.bytes), *cells])
    return lines


def sizes_note(results: Results) -> str:
    """What else than the GPU the machines were measured on."""
    kinds: tuple[Kind[Any], ...] = (STAGES, GALLERY)
    told = {f"{measured_on(kind, results)} " for kind in kinds if results.of(kind)}
    return "".join(sorted(told))


def by_ray(results: Results) -> Lines | None:
    """What a video takes by processes and by Ray's actors."""
    lines = [["model", "workers", "a video", "of processors", "rate, of processes'", "by processor time", "to begin"]]
    for row in results.of(INDEXING):
        who = f"{row.workers} {'actors of Ray' if row.way == 'ray' else 'processes'}"
        each = [f"{row.video_s * 1e3:.1f} ms", f"{row.video_cpu_s * 1e3:.1f} ms"]
        ratios = ["", ""] if row.way == "processes" else [f"{row.ratio:.2f}", f"{row.cpu_ratio:.2f}"]
        lines.append([row.model, who, *each, *ratios, f"{row.start_s:.1f} s, {row.start_cpu_s:.1f} s of processors"])
    return lines if len(lines) > 1 else None


def indexing(results: Results) -> Lines | None:
    """How long filling a gallery takes."""
    stages = {(row.stage, row.engine, row.model, row.batch): row.p50_ms for row in results.of(STAGES)}
    decode = stages.get(("decode", "framesift", "demo", 1))
    timed = [
        row.per_second
        for row in results.of(GPU_ENCODING)
        if (row.graph, row.case, row.batch) == ("video_encoder", "ONNX Runtime, CUDA", 1) and row.model != "demo"
    ]
    if decode is None or not timed or timed[-1] is None:
        return None
    lines = [["videos", "decoding, days of a core", "ViT-B/32, days of a GPU", "cores beside a GPU"]]
    for videos in SIZES:
        cores, gpus = videos * decode / 1e3 / _DAY_S, videos / timed[-1] / _DAY_S
        lines.append([f"{videos:,}", f"{cores:,.2f}", f"{gpus:,.2f}", f"{cores / gpus:.1f}"])
    return lines


def tail(results: Results) -> Lines | None:
    """How long searches over many shards take, by a simulation."""
    most, busy = results.saturated().get("demo"), _busy(results)
    cases = {"idle": _idle(results)}
    if most is not None and busy is not None:
        cases[f"at {busy.qps / most.qps:.0%} of saturation"] = busy
    lines = [["a shard", "shards", "p50", "p99", "p99, hedged", "deadline", "answers that lack a shard", "they lack"]]
    for name, window in cases.items():
        if window is None:
            continue
        one = drawn(window.latency, window.requests)
        for shards in SHARDS:
            found = simulate(shards, one)
            times = [found.p50_ms, found.p99_ms, found.hedged_p99_ms, found.deadline_ms]
            shares = [f"{found.missing:.3%}", f"{found.lacking:.2%}" if found.missing else ""]
            lines.append([name, f"{shards:,}", *(f"{value:.1f} ms" for value in times), *shares])
    return lines if len(lines) > 1 else None


def _idle(results: Results) -> Window | None:
    alone = [row for row in results.of(LOAD) if (row.model, row.scenario, row.concurrency) == ("demo", "search", 1)]
    return alone[-1] if alone else None


def _busy(results: Results) -> Window | None:
    soaked = [row for row in results.of(SOAK) if row.work == "search"]
    return soaked[-1] if soaked else None


def _in_bytes(count: int) -> str:
    return f"{count / 1e12:.2f} TB" if count >= 1e12 else f"{count / 1e9:.1f} GB"
