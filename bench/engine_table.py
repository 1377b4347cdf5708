"""Builds engines of many systems without a GPU and tables what came out.

``python -m framesift.bench.engine_table WORK``, in the repository's root. WORK keeps the graphs from one run to the
next: the demo's, those of every published system with small random weights, and of the reference model on ViT-B/32 with
random weights. What can't be built is a row too, with the builder's reason. Nothing here runs an engine: that takes a
GPU.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from ..export.build import resolve
from ..export.bundle.engines.flavours import RTX
from ..export.bundle.engines.profiles import default_limits, profile
from ..export.bundle.errors import FramesiftError
from ..export.bundle.manifest import FrameProfile, Manifest, TokenizerProfile
from ..export.bundle.ports import GRAPHS
from ..export.bundle.store import Bundle, seal, staged
from ..export.checkpoint import fingerprint, load
from ..export.graphs import ports, with_pixels
from ..export.onnx import write_graphs
from ..export.systems.contract import System
from ..export.systems.dong2026 import Dong2026, Dong2026Config
from ..export.systems.examples import examples, small_system
from ..export.tensorrt.build import TYPED, typed_source
from ..export.tensorrt.builder import Settings, build_engine
from ..export.vocabulary import BUCKETS
from .machine import machine
from .rows import RESULTS

DEMO, LARGE = "demo", "dong2026 ViT-B/32"
TARGETS = ("sm_80", "sm_89", "sm_120")
Row = dict[str, Any]


def bundles(work: Path) -> Iterator[tuple[str, Bundle]]:
    """Every bundle by its system's name, made in ``work`` unless it is there."""
    for name in (DEMO, *examples(), LARGE):
        folder = work / name.replace("/", "-").replace(" ", "_")
        if not folder.exists():
            print(f"exporting {name}", file=sys.stderr)
            graphs_bundle(_system(name), folder)
        yield name, Bundle.open(folder)


def graphs_bundle(system: System, out: Path) -> Bundle:
    """The graphs of a system and their manifest, without weights, vocabulary and comparison: enough for engines."""
    with staged(out) as folder:
        write_graphs(system, folder)
        seal(folder, described(system))
    return Bundle.open(out)


def described(system: System) -> Manifest:
    """The manifest of a system's graphs, without files."""
    shorter = () if system.fixed_length else tuple(bucket for bucket in BUCKETS if bucket < system.max_tokens)
    return Manifest(
        system=system.name,
        scorer=system.scorer.name,
        fingerprint=fingerprint(system.state_dict(), {}),
        embed_dim=system.embed_dim,
        frames=FrameProfile(count=system.frames),
        tokenizer=TokenizerProfile(context_length=system.max_tokens, buckets=(*shorter, system.max_tokens)),
        graphs=ports(system),
    )


def system_named(name: str) -> System:
    """The demo's system, or the reference model on ViT-B/32 with random weights."""
    if name == DEMO:
        return resolve(load(Path(str(files("framesift.export.demo") / "demo.safetensors"))), {}).build()
    torch.manual_seed(0)
    return Dong2026(Dong2026Config()).eval()


def _system(name: str) -> System:
    if name in (DEMO, LARGE):
        return system_named(name)
    card, _ = examples()[name]
    return with_pixels(small_system(name), card.preprocessing.frames.dtype)


def rows(name: str, bundle: Bundle, targets: tuple[str, ...]) -> Iterator[Row]:
    """One row for every graph and precision of a bundle."""
    limits = default_limits(bundle.manifest)
    for precision in TYPED:
        for graph in GRAPHS:
            row: Row = {"system": name, "graph": graph, "precision": precision, "targets": list(targets)}
            with TemporaryDirectory() as scratch:
                try:
                    source = typed_source(bundle, graph, precision, Path(scratch))
                    plan, seconds = build_engine(
                        RTX,
                        graph,
                        source,
                        bundle.manifest.graphs[graph],
                        profile(graph, bundle.manifest, limits),
                        Settings(precision=precision, targets=targets),
                    )
                except FramesiftError as error:
                    yield {**row, "failure": str(error)}
                else:
                    yield {**row, "onnx": source.stat().st_size, "engine": len(plan), "seconds": round(seconds, 2)}


def table(found: Iterable[Row]) -> str:
    """Rows as Markdown: of each system and precision the size and time of its three engines, or why there is none."""
    listed = list(found)
    lines = [
        f"| system | precision | targets | {' | '.join(GRAPHS)} |",
        "|---|---|---|" + "---:|" * len(GRAPHS),
    ]
    failures: dict[str, int] = {}
    cases = dict.fromkeys((row["system"], row["precision"], tuple(row["targets"])) for row in listed)
    for system, precision, targets in cases:
        cells = []
        for graph in GRAPHS:
            key = {"system": system, "graph": graph, "precision": precision, "targets": list(targets)}
            row = next(row for row in listed if all(row[name] == value for name, value in key.items()))
            if "failure" in row:
                number = failures.setdefault(row["failure"].partition(": ")[2], len(failures) + 1)
                cells.append(f"fails [{number}]")
            else:
                cells.append(f"{row['engine'] / 1e6:.2f} MB, {row['seconds']:.1f} s")
        lines.append(f"| {system} | {precision} | {', '.join(targets)} | {' | '.join(cells)} |")
    notes = [f"{number}. {reason}" for reason, number in failures.items()]
    return "\n".join([*lines, *(["", "Failures:", "", *notes] if notes else [])])


def main(work: Path) -> None:
    """Build everything; print the table and write it, with its rows, to ``results`` after every system."""
    found: list[Row] = []
    here = {"tensorrt_rtx": str(RTX.load().__version__), **machine(())}
    for name, bundle in bundles(work):
        # The demo shows what each target can do; the others are built for three at once.
        for targets in (TARGETS, *((target,) for target in RTX.targets)) if name == DEMO else (TARGETS,):
            for row in rows(name, bundle, targets):
                found.append({**row, **here})
                print(json.dumps(row), file=sys.stderr)
        text = _write(found)
    print(text)


def _write(found: list[Row]) -> str:
    first = found[0]
    head = (
        f"# Engines built without a GPU, {first['date']}\n\n"
        f"TensorRT for RTX {first['tensorrt_rtx']}, {first['cores']} cores. Size of each engine, time to build it; no "
        "engine was run. Made by `python -m framesift.bench.engine_table WORK`.\n\n"
    )
    text = head + table(found) + "\n"
    (RESULTS / f"engines_{first['date']}.md").write_text(text, encoding="utf-8")
    lines = "".join(json.dumps(row) + "\n" for row in found)
    (RESULTS / f"engines_{first['date']}.jsonl").write_text(lines, encoding="utf-8")
    return text


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    main(Path(sys.argv[1]))
