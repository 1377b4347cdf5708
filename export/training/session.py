"""One fine-tuning, from files to a file, with progress on the terminal."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import torch

from ..checkpoint import save
from ..evaluation.metrics import RetrievalMetrics
from .evaluate import evaluate
from .loop import Progress, Recipe, finetune
from .setup import from_checkpoint, from_scratch, load_corpus


def finetune_to_file(
    manifest: Path,
    out: Path,
    *,
    start: Path | str,
    held_out: Path | None,
    options: Mapping[str, Any],
    recipe: Mapping[str, Any],
    towers_only: bool = False,
    merges: Path | None = None,
    cache: Path | None = None,
    dropout: float = 0.0,
) -> RetrievalMetrics | None:
    """Fine-tune and write ``out``.

    Args:
        start: a checkpoint's path, or the name of an architecture to start from random weights.
        options, recipe: fields of ``Dong2026Config`` and ``Recipe``.

    Returns:
        The metrics on ``held_out`` after the last epoch.
    """
    plan = Recipe(**recipe)
    torch.manual_seed(plan.seed)
    if isinstance(start, Path):
        trainee = from_checkpoint(start, options, merges=merges, dropout=dropout, towers_only=towers_only)
    else:
        trainee = from_scratch(start, options, merges=merges, dropout=dropout)
    trainee.model.to("cuda" if torch.cuda.is_available() else "cpu")
    corpus = load_corpus(manifest, trainee.model, cache)
    test = None if held_out is None else load_corpus(held_out, trainee.model, cache)
    out.parent.mkdir(parents=True, exist_ok=True)
    results: list[RetrievalMetrics] = []

    last: list[Progress] = []

    def after_epoch(epoch: int) -> None:
        said = f"epoch {epoch} of {plan.epochs}: loss {last[-1].loss:.3f}"
        if test is not None:
            captions = [clip.captions[0] for clip in test.clips]
            results.append(evaluate(trainee.model, trainee.tokenizer, test.frames, captions))
            said += f"  {results[-1]}"
        click.echo(f"\n{said}", err=True)

    bar = click.progressbar(length=1, label="training", file=sys.stderr, show_pos=True, item_show_func=_loss)

    def after_step(progress: Progress) -> None:
        last[:] = [progress]
        bar.length, bar.pos = progress.steps, progress.step - 1
        bar.update(1, progress)

    state = out.with_name(f".{out.name}.state")
    if state.is_file():
        click.echo(f"going on from the last finished epoch ({state})", err=True)
    with bar:
        finetune(
            trainee.model,
            trainee.tokenizer,
            corpus,
            plan,
            state=state,
            origin=f"{start}{' towers' if towers_only else ''} {merges or ''}",
            after_step=after_step,
            after_epoch=after_epoch,
        )
    save(out, trainee.model, trainee.model.config.options(), trainee.merges)
    click.echo(f"{out}: {out.stat().st_size / 1e6:.1f} MB" + (f", {results[-1]}" if results else ""))
    return results[-1] if results else None


def _loss(progress: Progress | None) -> str:
    return "" if progress is None else f"epoch {progress.epoch + 1}  loss {progress.loss:.3f}"
