"""``framesift export`` and ``framesift check``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

_FILE = click.Path(dir_okay=False, path_type=Path)
_FOLDER = click.Path(file_okay=False, path_type=Path)


@click.command("export")
@click.argument("checkpoint", type=_FILE)
@click.option("--out", required=True, type=_FOLDER, help="The bundle's folder, to be made.")
@click.option("--frames", type=click.IntRange(1), help="Frames per video; read off the weights where they tell.")
@click.option("--top-k", type=click.IntRange(1), help="Frames that the attention keeps  [default: 4]")
@click.option("--heads", type=click.IntRange(1), help="Attention heads of the scorer  [default: 1]")
@click.option("--merges", type=_FILE, help="BPE merges file, for a vocabulary other than CLIP's.")
@click.option("--overwrite", is_flag=True, help="Replace a bundle that is there already.")
def export_command(
    checkpoint: Path,
    out: Path,
    frames: int | None,
    top_k: int | None,
    heads: int | None,
    merges: Path | None,
    overwrite: bool,
) -> None:
    """Turn a trained CHECKPOINT into a bundle.

    The bundle holds three ONNX graphs (video encoder, text encoder, scorer), the tokenizer and a manifest. Every graph
    is compared with the eager model in float64; if one disagrees, no bundle is written.

    CHECKPOINT is a safetensors or torch file, with OpenAI's or Hugging Face's tower names. Nothing in it is executed.

    \b
    Example:
      framesift export model_best.pth --frames 12 --top-k 12 --out bundles/xpool
    """
    from .build import build_bundle

    given = {"frames": frames, "top_k": top_k, "heads": heads}
    options: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    bundle = build_bundle(
        checkpoint,
        out,
        options=options,
        merges=merges,
        overwrite=overwrite,
        report=lambda line: click.echo(line, err=True),
    )
    size = sum(p.stat().st_size for p in bundle.root.iterdir()) / 1e6
    click.echo(f"{bundle.root}: {size:.1f} MB, model {bundle.manifest.fingerprint[:12]}")


@click.command("check")
@click.argument("bundle", type=_FOLDER)
@click.option("--seed", type=int, help="Seed of the random inputs; fresh ones without it.")
def check_command(bundle: Path, seed: int | None) -> None:
    """Compare every graph of BUNDLE with eager PyTorch in float64.

    Files are verified against the manifest's hashes first. Errors are relative to the reference's RMS; "top-10" is the
    share of the reference's ten best videos that the graphs find, "swaps" the share of pairs in which rounding let
    another frame into the top K. Exits with 1 on a breach.

    \b
    Example:
      framesift check bundles/demo
    """
    from . import parity
    from .build import eager_model
    from .bundle.store import Bundle

    opened = Bundle.open(bundle)
    rows = []
    with click.progressbar(length=parity.COMPARISONS, label="comparing", file=sys.stderr) as bar:
        for row in parity.compare_graphs(eager_model(opened), opened.root, seed=seed):
            rows.append(row)
            bar.update(1)
    click.echo(parity.table(rows))
    parity.demand(rows)
