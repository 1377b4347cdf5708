"""The README's six figures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..rows import read

_MODEL = "vit-b32"
_ALONE, _MANY = 1, 32


def headline(results: Path) -> str:
    """The six figures of ``results`` as a Markdown table: framesift's, what it is compared with, and the ratio."""
    services = {(row["service"], row["concurrency"]): row for row in _summaries(results)}
    eager, pooled = services["eager-fastapi", _MANY], services["hf-faiss-fastapi", _MANY]
    many, alone, alone_eager = (services[key] for key in (("framesift", _MANY), ("framesift", 1), ("eager-fastapi", 1)))
    scan = {row["case"]: row for row in read("cpu", results) if row["group"] == "one query, 10,000 videos"}
    mine, published = scan["framesift, float16"], scan["eager"]
    gpu = {(row["case"], row["videos"]): row for row in _gpu(results)}
    most = max(videos for _, videos in gpu)
    kernel, formula = gpu["kernel scores", most], gpu["published, eager", most]
    kept = {row["storage"]: row for row in read("storages", results)}
    half, whole = kept["float16"]["bytes_per_video"], kept["float32"]["bytes_per_video"]
    rows = [
        (
            f"Searches per second, {_MANY} clients",
            f"{many['qps']:.0f}",
            f"{eager['qps']:.1f} (eager PyTorch behind FastAPI)",
            f"{many['qps'] / eager['qps']:.0f}x",
        ),
        (
            "The same",
            f"{many['qps']:.0f}",
            f"{pooled['qps']:.1f} (Hugging Face CLIP, mean pooling, FAISS)",
            f"{many['qps'] / pooled['qps']:.1f}x",
        ),
        (
            "Median latency, one client",
            f"{alone['p50_ms']:.0f} ms",
            f"{alone_eager['p50_ms']:,.0f} ms (eager PyTorch behind FastAPI)",
            f"{alone_eager['p50_ms'] / alone['p50_ms']:.0f}x",
        ),
        (
            "One text scored against 10,000 videos, one thread",
            f"{mine['median_ms']:.1f} ms",
            f"{published['median_ms']:,.0f} ms (published formula, eager)",
            f"{mine['times_faster']:.0f}x",
        ),
        (
            f"One text scored against {most:,} videos, {kernel['device'].removeprefix('NVIDIA ')}",
            f"{kernel['p50_ms']:.1f} ms",
            f"{formula['p50_ms']:,.0f} ms (published formula, eager)",
            f"{formula['p50_ms'] / kernel['p50_ms']:.0f}x",
        ),
        (
            "Bytes of a video, float16 gallery",
            f"{half:,}",
            f"{whole:,} (float32), {kept['float16']['overlap']:.2%} of its ten best kept",
            f"{whole / half:.1f}x",
        ),
    ]
    lines = ["| | framesift | compared with | ratio |", "|---|---:|---|---:|"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def _summaries(results: Path) -> Iterable[Mapping[str, Any]]:
    return (row for row in read("against", results) if row.get("summary") and row["model"] == _MODEL)


def _gpu(results: Path) -> Iterable[Mapping[str, Any]]:
    return (row for row in read("gpu_scoring", results) if row["queries"] == _ALONE and row["storage"] == "float16")
