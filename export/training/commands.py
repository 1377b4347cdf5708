"""``framesift finetune`` and ``framesift ablate``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..bundle.dependent import Dependent

_FILE = click.Path(dir_okay=False, path_type=Path)
# A file, or a folder with one.
_CHECKPOINT = click.Path(path_type=Path)
_RATE = click.FloatRange(0, min_open=True)


@click.command("finetune")
@click.argument("manifest", type=_FILE)
@click.option("--out", required=True, type=_FILE, help="The checkpoint to write (safetensors).")
@click.option("--init", type=_CHECKPOINT, help="A trained CLIP, or a checkpoint to train further.")
@click.option(
    "--scratch",
    type=click.Choice(["tiny", "ViT-B/32", "ViT-B/16", "ViT-L/14"]),
    help="Random towers instead.",
)
@click.option("--eval", "held_out", type=_FILE, help="Manifest to evaluate on after every epoch.")
@click.option("--frames", type=click.IntRange(1), help="Frames per video.  [default: 12]")
@click.option("--top-k", type=click.IntRange(1), help="Frames that the attention keeps.  [default: 4]")
@click.option("--heads", type=click.IntRange(1), help="Attention heads of the scorer.  [default: 1]")
@click.option(
    "--temporal",
    type=click.Choice(["none", "positional", "transformer"]),
    help="How frames tell their order.  [default: positional]",
)
@click.option("--temporal-layers", type=click.IntRange(1), help="Blocks of the temporal transformer.  [default: 4]")
@click.option(
    "--towers-only",
    cls=Dependent,
    needs=("--init",),
    is_flag=True,
    help="Take only the towers of --init; the head starts anew.",
)
@click.option("--freeze-vision", is_flag=True, help="Keep the vision tower; its embeddings are computed once.")
@click.option("--epochs", default=5, show_default=True, type=click.IntRange(1), help="Rounds over all captions.")
@click.option("--batch-size", default=32, show_default=True, type=click.IntRange(2), help="Pairs of a step.")
@click.option("--lr", default=1e-5, show_default=True, type=_RATE, help="Peak rate of the head and temporal encoding.")
@click.option("--clip-lr", default=1e-6, show_default=True, type=_RATE, help="Peak rate of the towers.")
@click.option(
    "--warmup",
    default=0.1,
    show_default=True,
    type=click.FloatRange(0, 1),
    help="Share of all steps in which the rates rise.",
)
@click.option("--weight-decay", default=0.2, show_default=True, type=click.FloatRange(0), help="Of AdamW.")
@click.option(
    "--dropout",
    default=0.0,
    show_default=True,
    type=click.FloatRange(0, 1, max_open=True),
    help="Share of what the head computes that is left out at random.",
)
@click.option("--merges", type=_FILE, help="BPE merges file, for a vocabulary other than CLIP's.")
@click.option(
    "--cache",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where decoded frames are kept.  [default: .frames beside the manifest]",
)
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Of weights and order.")
def finetune_command(
    manifest: Path,
    out: Path,
    init: Path | None,
    scratch: str | None,
    held_out: Path | None,
    towers_only: bool,
    merges: Path | None,
    cache: Path | None,
    dropout: float,
    **options: Any,
) -> None:
    """Fine-tune on the videos and captions of MANIFEST (symmetric InfoNCE).

    MANIFEST has one JSON object a line: {"video": "a.mp4", "captions": ["..."], "group": "optional"}; paths are
    relative to it. Clips of one group are hard negatives of one another and share batches.

    An interrupted run goes on from its last finished epoch when the same command is given again; until it is done, a
    file beside --out (.NAME.state) keeps what that needs.

    \b
    Example:
      framesift finetune train.jsonl --init ViT-B-32.pt --eval test.jsonl --out model.safetensors
    """
    from ..checkpoints.first_look import look_at_all

    if (init is None) == (scratch is None):
        raise click.UsageError("give either --init CHECKPOINT or --scratch ARCHITECTURE")
    if out.suffix != ".safetensors":
        raise click.BadParameter(f"{out} must end in .safetensors", param_hint="--out")
    look_at_all(() if init is None else (init,))
    from .session import finetune_to_file

    keys = ("frames", "top_k", "heads", "temporal", "temporal_layers")
    finetune_to_file(
        manifest,
        out,
        start=init if init is not None else str(scratch),
        held_out=held_out,
        options={key: options[key] for key in keys if options[key] is not None},
        recipe={key: value for key, value in options.items() if key not in keys},
        towers_only=towers_only,
        merges=merges,
        cache=cache,
        dropout=dropout,
    )


@click.command("ablate")
@click.argument("train", type=_FILE)
@click.argument("test", type=_FILE)
@click.option("--init", required=True, type=_CHECKPOINT, help="Checkpoint whose towers every row starts from.")
@click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="Folder of the results.")
@click.option("--epochs", default=10, show_default=True, type=click.IntRange(1), help="Of every row.")
@click.option("--batch-size", default=64, show_default=True, type=click.IntRange(2), help="Of every step.")
@click.option("--lr", default=1e-3, show_default=True, type=_RATE, help="Peak rate.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Of weights and order.")
def ablate_command(
    train: Path, test: Path, init: Path, out: Path, epochs: int, batch_size: int, lr: float, seed: int
) -> None:
    """Measure the paper's two ablations: frames kept (K) and temporal encoding.

    Every row starts from the towers of --init with a new head and temporal encoding and is trained alike, the vision
    tower frozen. Writes ablation.jsonl and ablation.md (the layout of Tables 4 and 5 of Dong et al., 2026) into --out;
    rows that are there already are not trained again.

    \b
    Example:
      framesift ablate train.jsonl test.jsonl --init model.safetensors --out results
    """
    from ..checkpoints.first_look import look_at_all

    look_at_all((init,))
    from .ablation import run_ablation

    run_ablation(train, test, init, out, epochs=epochs, batch_size=batch_size, lr=lr, seed=seed)
