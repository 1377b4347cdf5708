"""Tables of parts by themselves: stages, scorers, storages, engines, ablations."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..schema.gpu import GpuScoring
from ..schema.kinds import (
    ABLATION,
    ENGINES,
    EXACT_SCORING,
    GALLERY,
    GPU_SCORING,
    INT8,
    SCANS,
    SHARDS,
    STAGES,
    STORAGES,
    TEXT_LENGTH,
)
from ..schema.rows import Ablation, Timing
from .cells import Lines
from .results import Results

GRAPHS = ("video_encoder", "text_encoder", "scorer")
_TEMPORAL = ("none", "positional", "transformer")


def stages(results: Results) -> Lines | None:
    """Every stage, batch and engine."""
    lines = [["model", "stage", "batch", "gallery", "engine", "p20 ms", "p50 ms", "p80 ms", "of its baseline"]]
    for row in results.of(STAGES):
        faster = "" if row.times_faster is None else f"{row.times_faster:.2f}x"
        size = "" if row.videos is None else f"{row.videos:,}"
        times = [f"{value:.3f}" for value in (row.p20_ms, row.p50_ms, row.p80_ms)]
        lines.append([row.model, row.stage, str(row.batch), size, row.engine, *times, faster])
    return lines if len(lines) > 1 else None


def exact_scoring(results: Results) -> Lines | None:
    """Scores on the CPU against the published formula."""
    return _timings(results.of(EXACT_SCORING))


def scans(results: Results) -> Lines | None:
    """The other scorers' compiled scans against their graphs, and lists of rows."""
    return _timings(results.of(SCANS))


def text_length(results: Results) -> Lines | None:
    """The text encoder at the texts' own length."""
    return _timings(results.of(TEXT_LENGTH))


def int8(results: Results) -> Lines | None:
    """Towers in 8 bits against float32."""
    return _timings(results.of(INT8))


def storages(results: Results) -> Lines | None:
    """Every storage of a gallery."""
    lines = [["storage", "bytes a video", "top-10 overlap", "first place kept", "largest error", "p50 of a search"]]
    for row in results.of(STORAGES):
        shares = [f"{row.overlap:.4f}", f"{row.first:.4f}", f"{row.error:.0e}"]
        lines.append([row.storage, f"{row.bytes_per_video:,}", *shares, f"{row.p50_ms:.2f} ms"])
    return lines if len(lines) > 1 else None


def shards(results: Results) -> Lines | None:
    """A gallery in shards beside one server."""
    lines = [["videos", "answers", "one server, p50", "shards, p50", "more", "one server, p95", "shards, p95"]]
    for row in results.of(SHARDS):
        kind = f"{row.shards} shards, {'with facts' if row.facts else 'plain'}"
        times = [f"{value:.2f} ms" for value in (row.one.p50_ms, row.sharded.p50_ms, row.added_ms) if value is not None]
        tails = [f"{value:.2f} ms" for value in (row.one.p95_ms, row.sharded.p95_ms) if value is not None]
        lines.append([f"{row.videos:,}", kind, *times, *tails])
    return lines if len(lines) > 1 else None


def shards_note(results: Results) -> str:
    """How busy the machine was."""
    loads = [row.load_1min for row in results.of(SHARDS)]
    return f"Load {min(loads):.1f} to {max(loads):.1f}. " if loads else ""


def galleries(results: Results) -> Lines | None:
    """The largest gallery of every kind: each figure beside its promise, and whether that is kept."""
    found = results.of(GALLERY)
    largest: dict[tuple[str, str], int] = {}
    for row in found:
        largest[row.storage, row.films] = max(row.videos, largest.get((row.storage, row.films), 0))
    lines = [["videos", "storage", "figure", "measured", "promised", ""]]
    for row in found:
        if row.videos == largest[row.storage, row.films]:
            value = f"{row.value:,.0f}" if row.value >= 1000 else f"{row.value:.4g}"
            cells = [f"{row.videos:,} ({row.films})", row.storage, row.figure, value, row.promise]
            lines.append([*cells, "" if row.kept else "missed"])
    return lines if len(lines) > 1 else None


def gpu_scoring(results: Results) -> Lines | None:
    """The largest gallery of a run on a GPU: what a search costs, next to the published formula and the floor."""
    found = results.of(GPU_SCORING)
    if not found:
        return None
    videos = max(row.videos for row in found)
    rows = {(row.queries, row.storage, row.case): row for row in found if row.videos == videos}
    lines = [["queries", "stored as", "ten best", "all scores", "of the floor", "torch.compile", "published, eager"]]
    for queries, storage in dict.fromkeys((queries, storage) for queries, storage, _ in rows):
        scores = rows.get((queries, storage, "kernel scores"))
        if scores is None:
            continue
        search = rows.get((queries, storage, "kernel search, 10 best"))
        cells = ["not measured" if search is None else f"{search.p50_ms:.2f} ms", f"{scores.p50_ms:.2f} ms"]
        cells.append(f"{scores.floor_ms / scores.p50_ms:.0%}")
        for case, digits in ((_compiled_of(found), 1), ("published, eager", 0)):
            # The baselines read frames as they are, so they were timed once.
            beside = rows.get((queries, storage, case)) or rows.get((queries, "float16", case))
            if beside is None:
                cells.append("not measured")
                continue
            time, ratio = beside.p50_ms, beside.p50_ms / scores.p50_ms
            cells.append(f"{time:.{digits}f} ms ({ratio:.{digits}f}x)")
        lines.append([str(queries), storage, *cells])
    return lines


def _compiled_of(rows: Iterable[GpuScoring]) -> str:
    """How torch.compile was asked: in later runs for the best that it finds."""
    names = {row.case for row in rows}
    return "factorised, max-autotune" if "factorised, max-autotune" in names else "factorised, torch.compile"


def gpu_scoring_note(results: Results) -> str:
    """What the figures of ``gpu_scoring`` mean."""
    first = results.of(GPU_SCORING)[0]
    read, multiplied = first.copy_bytes_per_s / 1e12, first.matrix_flop_per_s / 1e12
    return (
        f"{max(row.videos for row in results.of(GPU_SCORING)):,} videos of 12 frames, D = 512, K = 4. The floor is "
        f"what must be read over {read:.2f} TB/s, or multiplied over {multiplied:.0f} TFLOP/s, both measured in the "
        "same run. The published formula ran on as many videos as fit and is scaled. "
    )


def engines(results: Results) -> Lines | None:
    """Of each system and precision the size and time of its three engines, or the number of why there is none."""
    found = results.of(ENGINES)
    numbers = {reason: number for number, reason in enumerate(_failures(results), start=1)}
    lines = [["system", "precision", "targets", *GRAPHS]]
    rows = {(row.system, row.precision, row.targets, row.graph): row for row in found}
    for system, precision, targets in dict.fromkeys((row.system, row.precision, row.targets) for row in found):
        cells = []
        for graph in GRAPHS:
            row = rows[system, precision, targets, graph]
            built = f"{(row.engine or 0) / 1e6:.2f} MB, {row.seconds or 0:.1f} s"
            cells.append(f"fails [{numbers[_reason(row.failure)]}]" if row.failure else built)
        lines.append([system, precision, ", ".join(targets), *cells])
    return lines if found else None


def engines_note(results: Results) -> str:
    """The reasons that ``engines`` numbers."""
    return "".join(f"{number}. {reason}\n" for number, reason in enumerate(_failures(results), start=1)) + "\n"


def frames_kept(results: Results) -> Lines | None:
    """The paper's Table 4: retrieval with K frames kept."""
    rows = [row for row in results.of(ABLATION) if row.temporal == _TEMPORAL[-1]]
    return _ablations("K", {str(row.top_k): row for row in rows})


def temporal_encodings(results: Results) -> Lines | None:
    """The paper's Table 5: retrieval with each temporal encoding, at the K that all of them have."""
    rows = results.of(ABLATION)
    kept = next((row.top_k for row in rows if row.temporal != _TEMPORAL[-1]), None)
    found = {row.temporal: row for row in rows if row.top_k == kept}
    return _ablations("temporal", {name: found[name] for name in _TEMPORAL if name in found})


def _timings(found: Sequence[Timing]) -> Lines | None:
    lines = [["", "case", "median", "against", ""]]
    for row in found:
        faster = f"{row.times_faster:.1f}x" if row.times_faster and row.case != row.baseline else ""
        lines.append([row.group, row.case, f"{row.median_ms:.2f} ms", row.baseline if faster else "", faster])
    return lines if found else None


def _ablations(what: str, rows: dict[str, Ablation]) -> Lines | None:
    lines = [[what, "R@1", "R@5", "R@10", "MdR", "MnR"]]
    for name, row in rows.items():
        lines.append([name, *(f"{value:.1f}" for value in (row.r1, row.r5, row.r10, row.mdr, row.mnr))])
    return lines if rows else None


def _reason(failure: str) -> str:
    return failure.partition(": ")[2] or failure


def _failures(results: Results) -> list[str]:
    return list(dict.fromkeys(_reason(row.failure) for row in results.of(ENGINES) if row.failure))
