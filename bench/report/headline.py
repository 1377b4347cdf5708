"""The README's six figures."""

from __future__ import annotations

from ..schema.kinds import AGAINST_SUMMARY, EXACT_SCORING, GPU_SCORING, STORAGES
from .cells import times
from .results import Results

_MODEL = "vit-b32"
_ALONE, _MANY = 1, 32


def headline(results: Results) -> str:
    """The six figures as a Markdown table: framesift's, what it is compared with, and the ratio."""
    services = {(row.service, row.concurrency): row for row in results.of(AGAINST_SUMMARY) if row.model == _MODEL}
    many, eager, pooled = (services[name, _MANY] for name in ("framesift", "eager-fastapi", "hf-faiss-fastapi"))
    alone, alone_eager = (services[name, _ALONE].latency.p50_ms or 0.0 for name in ("framesift", "eager-fastapi"))
    scan = {row.case: row for row in results.of(EXACT_SCORING) if row.group == "one query, 10,000 videos"}
    mine, published = scan["framesift, float16"], scan["eager"]
    one = [row for row in results.of(GPU_SCORING) if row.queries == _ALONE and row.storage == "float16"]
    most = max(row.videos for row in one)
    gpu = {row.case: row for row in one if row.videos == most}
    kernel, formula = gpu["kernel scores"], gpu["published, eager"]
    kept = {row.storage: row for row in results.of(STORAGES)}
    half, whole = kept["float16"], kept["float32"]
    rows = [
        (
            f"Searches per second, {_MANY} clients",
            f"{many.qps:.0f}",
            f"{eager.qps:.1f} (eager PyTorch behind FastAPI)",
            many.qps / eager.qps,
        ),
        (
            "The same",
            f"{many.qps:.0f}",
            f"{pooled.qps:.1f} (Hugging Face CLIP, mean pooling, FAISS)",
            many.qps / pooled.qps,
        ),
        (
            "Median latency, one client",
            f"{alone:.0f} ms",
            f"{alone_eager:,.0f} ms (eager PyTorch behind FastAPI)",
            alone_eager / alone,
        ),
        (
            "One text scored against 10,000 videos, one thread",
            f"{mine.median_ms:.1f} ms",
            f"{published.median_ms:,.0f} ms (published formula, eager)",
            mine.times_faster,
        ),
        (
            f"One text scored against {most:,} videos, {kernel.machine.device.removeprefix('NVIDIA ')}",
            f"{kernel.p50_ms:.1f} ms",
            f"{formula.p50_ms:,.0f} ms (published formula, eager)",
            formula.p50_ms / kernel.p50_ms,
        ),
        (
            "Bytes of a video, float16 gallery",
            f"{half.bytes_per_video:,}",
            f"{whole.bytes_per_video:,} (float32), {half.overlap:.2%} of its ten best kept",
            whole.bytes_per_video / half.bytes_per_video,
        ),
    ]
    lines = ["| | framesift | compared with | ratio |", "|---|---:|---|---:|"]
    return "\n".join([*lines, *(f"| {' | '.join(cells)} | {times(ratio)} |" for *cells, ratio in rows)])
