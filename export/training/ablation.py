"""The two ablations of Dong et al. (2026), Tables 4 and 5, on any corpus."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import torch
from torch import Tensor

from ..corpus.cache import DecodedCorpus
from ..encoders.temporal import TEMPORAL
from ..evaluation.metrics import RetrievalMetrics
from .evaluate import encode_frames, evaluate
from .loop import Progress, Recipe, finetune
from .setup import from_checkpoint, load_corpus

KEPT = (1, 2, 4, 6, 8, 10, 12)
DEFAULT_K = 4


def run_ablation(
    train: Path, test: Path, init: Path, out: Path, *, epochs: int, batch_size: int, lr: float, seed: int
) -> None:
    """Train and evaluate every row, appending to ``out/ablation.jsonl``, then write ``out/ablation.md``."""
    out.mkdir(parents=True, exist_ok=True)
    log = out / "ablation.jsonl"
    recipe = Recipe(
        epochs=epochs,
        batch_size=batch_size,
        lr=lr,
        clip_lr=lr,
        weight_decay=0.05,
        warmup=0.05,
        seed=seed,
        freeze_vision=True,
    )
    torch.manual_seed(seed)
    towers = from_checkpoint(init, {}, merges=None, towers_only=True).model.eval()
    corpus, held_out = (load_corpus(path, towers, None) for path in (train, test))
    click.echo("encoding every frame once", err=True)
    raw = encode_frames(towers, corpus.frames)
    rows = [(k, "transformer") for k in KEPT] + [(DEFAULT_K, t) for t in TEMPORAL if t != "transformer"]
    done = {(r["top_k"], r["temporal"], json.dumps(r["recipe"])): r for r in _read(log)}
    for k, temporal in rows:
        if (k, temporal, json.dumps(asdict(recipe))) not in done:
            options = {"top_k": k, "temporal": temporal, "temporal_layers": 2}
            metrics = _row(init, corpus, raw, held_out, recipe, options)
            record = {"top_k": k, "temporal": temporal, "recipe": asdict(recipe), **asdict(metrics)}
            with log.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(record) + "\n")
    (out / "ablation.md").write_text(tables(_read(log)), encoding="utf-8")
    click.echo(tables(_read(log)))


def tables(rows: Iterable[dict[str, Any]]) -> str:
    """Both tables as Markdown, one row a setting, in the paper's columns."""
    found = {(r["top_k"], r["temporal"]): r for r in rows}
    heading = " | ".join(RetrievalMetrics.HEADINGS)
    rule = "|".join(["---:"] * len(RetrievalMetrics.HEADINGS))

    def line(name: object, key: tuple[int, str]) -> str:
        values = {k: found[key][k] for k in ("r1", "r5", "r10", "mdr", "mnr")}
        return f"| {name} | " + " | ".join(RetrievalMetrics(**values).cells()) + " |"

    by_k = [line(k, (k, "transformer")) for k in KEPT if (k, "transformer") in found]
    by_time = [line(t, (DEFAULT_K, t)) for t in TEMPORAL if (DEFAULT_K, t) in found]
    return "\n".join(
        [
            "Frames kept (temporal transformer):\n",
            f"| K | {heading} |",
            f"|---:|{rule}|",
            *by_k,
            f"\nTemporal encoding (K = {DEFAULT_K}):\n",
            f"| temporal | {heading} |",
            f"|---|{rule}|",
            *by_time,
            "",
        ]
    )


def _row(
    init: Path, corpus: DecodedCorpus, raw: Tensor, held_out: DecodedCorpus, recipe: Recipe, options: dict[str, Any]
) -> RetrievalMetrics:
    torch.manual_seed(recipe.seed)
    trainee = from_checkpoint(init, options, merges=None, towers_only=True)
    label = f"K {options['top_k']}, {options['temporal']}"
    with click.progressbar(length=1, label=label, file=sys.stderr) as bar:

        def after_step(progress: Progress) -> None:
            bar.length = progress.steps
            bar.update(1)

        finetune(trainee.model, trainee.tokenizer, corpus, recipe, raw=raw, after_step=after_step)
    captions = [clip.captions[0] for clip in held_out.clips]
    metrics = evaluate(trainee.model, trainee.tokenizer, held_out.frames, captions)
    click.echo(f"{label}: {metrics}", err=True)
    return metrics


def _read(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()] if log.is_file() else []
