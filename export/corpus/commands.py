"""``framesift corpus`` and ``framesift vocabulary``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from .shapes import Split


@click.command("corpus")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--clips", default=500, show_default=True, type=click.IntRange(1), help="How many clips.")
@click.option(
    "--split",
    type=click.Choice(["train", "test"]),
    default="test",
    show_default=True,
    help="Which combinations are shown.",
)
@click.option(
    "--kind",
    type=click.Choice(["motion", "stills"]),
    default="motion",
    show_default=True,
    help="Clips, or videos of one frame.",
)
@click.option("--variants", default=2, show_default=True, type=click.IntRange(1), help="Hard negatives in a run.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Of what is drawn.")
def corpus_command(folder: Path, clips: int, split: Split, kind: str, variants: int, seed: int) -> None:
    """Write the shapes corpus: short H.264 clips of moving shapes, captioned, in FOLDER.

    Captions name colour, shape, size, direction and order, which no single frame shows. The test split shows
    combinations that the train split never does. The manifest is FOLDER/manifest.jsonl. Stills are videos of one frame
    whose captions name places, to train the towers on first.

    \b
    Example:
      framesift corpus work/shapes/test --clips 500
    """
    from .generate import MANIFEST, write_corpus

    with click.progressbar(length=clips, label="encoding clips", file=sys.stderr) as bar:
        write_corpus(folder, clips, split, seed, kind=kind, variants=variants, done=bar.update)
    click.echo(folder / MANIFEST)


@click.command("vocabulary")
@click.argument("manifests", nargs=-1, required=True, type=click.Path(dir_okay=False, path_type=Path))
@click.option("--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help="Merges file to write.")
@click.option("--merges", default=256, show_default=True, type=click.IntRange(0), help="How many at the most.")
def vocabulary_command(manifests: tuple[Path, ...], out: Path, merges: int) -> None:
    """Learn a small BPE vocabulary from the captions of MANIFESTS, for a text tower trained from scratch.

    \b
    Example:
      framesift vocabulary train.jsonl --out merges.txt
    """
    from ..bundle.text.bpe import learn_merges
    from ..bundle.text.merges_file import write_merges
    from .manifest import read_manifest

    captions = [text for manifest in manifests for clip in read_manifest(manifest) for text in clip.captions]
    learned = learn_merges(captions, merges)
    write_merges(out, learned)
    click.echo(f"{out}: {len(learned)} merges")
