"""Every kind of row, and the command that writes it."""

from __future__ import annotations

from typing import Any

from .gpu import GpuEncoding, GpuPairs, GpuProfile, GpuScoring, GpuServed, GpuTile
from .load import OverloadVerdict, SoakVerdict, Window
from .row import Kind
from .rows import (
    Ablation,
    Change,
    Demo,
    Engine,
    GalleryFigure,
    Indexing,
    Loop,
    LoopSummary,
    Sharded,
    Stage,
    Storage,
    Timing,
)

STAGES = Kind("stages", Stage, "framesift bench stages", "stages")
LOAD = Kind("load", Window, "framesift bench load", "load")
OVERLOAD = Kind("overload", Window, "framesift bench overload", "overload")
OVERLOAD_VERDICT = Kind("overload_verdict", OverloadVerdict, "framesift bench overload", "overload")
SOAK = Kind("soak", Window, "framesift bench soak", "soak")
SOAK_VERDICT = Kind("soak_verdict", SoakVerdict, "framesift bench soak", "soak")
AGAINST = Kind("against", Loop, "framesift bench against", "against")
AGAINST_SUMMARY = Kind("against_summary", LoopSummary, "framesift bench against", "against")
STORAGES = Kind("storages", Storage, "framesift bench storages", "storages")
GALLERY = Kind("gallery", GalleryFigure, "framesift bench gallery", "gallery")
INDEXING = Kind("indexing", Indexing, "framesift bench indexing", "indexing")
SHARDS = Kind("shards", Sharded, "framesift bench shards", "shards")
ENGINES = Kind("engines", Engine, "framesift bench engines", "engines")
COMPARE = Kind("compare", Change, "framesift bench compare", "compare")
ABLATION = Kind("ablation", Ablation, "framesift bench ablation", "ablation")
DEMO = Kind("demo", Demo, "framesift bench demo", "demo")
GPU_SCORING = Kind("gpu_scoring", GpuScoring, "framesift bench gpu scoring", "gpu_scoring")
GPU_TILES = Kind("gpu_tiles", GpuTile, "framesift bench gpu tiles", "gpu_tiles")
GPU_PAIRS = Kind("gpu_pairs", GpuPairs, "framesift bench gpu pairs", "gpu_pairs")
GPU_SERVED = Kind("gpu_served", GpuServed, "framesift bench gpu served", "gpu_served")
GPU_PROFILE = Kind("gpu_profile", GpuProfile, "framesift bench gpu profile", "gpu_profile")
GPU_ENCODING = Kind("gpu_encoding", GpuEncoding, "framesift bench gpu encoding", "gpu_encoding")
# The files bench_*.py, each of which writes rows of a kind of its name.
EXACT_SCORING = Kind("exact_scoring", Timing, "make bench", "exact_scoring")
SCANS = Kind("scans", Timing, "make bench", "scans")
TEXT_LENGTH = Kind("text_length", Timing, "make bench", "text_length")
INT8 = Kind("int8", Timing, "make bench", "int8")
SERVED_STAGES = Kind("served_stages", Timing, "make bench", "served_stages")

KINDS: dict[str, Kind[Any]] = {
    kind.name: kind
    for kind in (
        *(STAGES, LOAD, OVERLOAD, OVERLOAD_VERDICT, SOAK, SOAK_VERDICT, AGAINST, AGAINST_SUMMARY, STORAGES, ENGINES),
        *(GALLERY, INDEXING, SHARDS, COMPARE, ABLATION, DEMO),
        *(GPU_SCORING, GPU_TILES, GPU_PAIRS, GPU_SERVED, GPU_PROFILE, GPU_ENCODING),
        *(EXACT_SCORING, SCANS, TEXT_LENGTH, INT8, SERVED_STAGES),
    )
}
