"""``framesift export`` and ``framesift check``."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

import click

from .bundle.video.names import ResizeName, SamplerName
from .systems.options import FLAGS
from .systems.registry import AUTO, SYSTEMS

_FILE = click.Path(dir_okay=False, path_type=Path)
_FOLDER = click.Path(file_okay=False, path_type=Path)


def _flags(command: Callable[..., None]) -> Callable[..., None]:
    """A flag for each of the options that many systems have."""
    for option in reversed(FLAGS):
        flag = f"--{option.name.replace('_', '-')}"
        command = click.option(flag, type=click.IntRange(option.least), help=option.flag)(command)
    return command


def _options(_: click.Context, __: click.Parameter, given: tuple[str, ...]) -> dict[str, Any]:
    options = {}
    for text in given:
        name, separator, value = text.partition("=")
        if not separator or not name:
            raise click.BadParameter(f"{text!r} is not NAME=VALUE")
        if name in options:
            raise click.BadParameter(f"{name} is given twice")
        try:
            options[name] = json.loads(value)
        except (ValueError, RecursionError):
            options[name] = value
    return options


@contextmanager
def _bar(label: str, length: int) -> Iterator[Callable[[int], None]]:
    with click.progressbar(length=length, label=label, file=sys.stderr) as shown:
        yield shown.update


@click.command("export")
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.option("--out", required=True, type=_FOLDER, help="The bundle's folder, to be made.")
@click.option(
    "--system", default=AUTO, type=click.Choice((AUTO, *SYSTEMS)), help="Whose model it is.", show_default=True
)
@_flags
@click.option(
    "--set",
    "options",
    multiple=True,
    metavar="NAME=VALUE",
    callback=_options,
    help="Any option that the export lists as assumed; may be repeated.",
)
@click.option(
    "--sampler", type=click.Choice(get_args(SamplerName)), help="How frames are chosen.  [default: as the authors do]"
)
@click.option(
    "--resize", type=click.Choice(get_args(ResizeName)), help="How frames are resized.  [default: as the authors do]"
)
@click.option(
    "--shortlist",
    type=click.IntRange(1),
    help="Videos that a cross-encoder re-ranks for a query.  [default: 100; 10 of All-in-one]",
)
@click.option(
    "--scan-limit",
    type=click.IntRange(1),
    help="The most videos that a whole transformer scores for a query.  [default: by system, some ten seconds]",
)
@click.option(
    "--merges",
    "--vocab",
    "merges",
    type=_FILE,
    help="The tokenizer's vocabulary, where it is not CLIP's or BERT's: a BPE merges file, or a vocab.txt.",
)
@click.option(
    "--extractor",
    multiple=True,
    type=_FILE,
    help="Weights of a network that makes features of films, for HowTo100M: one of its two; give the option twice.",
)
@click.option("--key", metavar="NAME", help="Where the weights lie in the file, such as ema, or with dots state.ema.")
@click.option("--prefix", metavar="NAME", help="Take the tensors whose names begin so, and no others.")
@click.option("--overwrite", is_flag=True, help="Replace a bundle that is there already.")
def export_command(
    checkpoint: Path,
    out: Path,
    system: str,
    options: dict[str, Any],
    sampler: SamplerName | None,
    resize: ResizeName | None,
    shortlist: int | None,
    scan_limit: int | None,
    merges: Path | None,
    extractor: tuple[Path, ...],
    key: str | None,
    prefix: str | None,
    overwrite: bool,
    **flags: int | None,
) -> None:
    """Turn a trained CHECKPOINT into a bundle.

    The bundle holds ONNX graphs (video encoder, text encoder, scorer, and one to search by a video where the model
    allows that), the tokenizer and a manifest. Every graph is compared with the eager model in float64; if one
    disagrees, no bundle is written.

    CHECKPOINT is the authors' own file: safetensors or torch, a TorchScript archive too, with OpenAI's or Hugging
    Face's tower names, wrapped or bare; or a folder of Hugging Face's, whose weights may lie in several files, or their
    index. Nothing in it is executed. Which system it is, and its sizes, are read off its
    tensors; what was found, what was given, and what had to be assumed, under which name it can be set, is printed, and
    how much memory and time the export will take.

    \b
    Examples:
      framesift export model_best.pth --out bundles/xpool
      framesift export pytorch_model.bin.4 --frames 12 --max-tokens 32 --out bundles/clip4clip
      framesift export ckpt_stan.pth --system stan --out bundles/stan
      framesift export ts2net.bin --set samples=0 --out bundles/ts2net
    """
    from .bundle.store import check_target
    from .checkpoints.first_look import look_at_all

    if twice := sorted(name for name in options if flags.get(name) is not None):
        raise click.UsageError(f"{', '.join(twice)} is given twice, as an option of its own and by --set")
    # What can be told before torch is there is told at once.
    check_target(out, overwrite=overwrite)
    look_at_all((checkpoint, *extractor))
    if merges is not None and not merges.is_file():
        raise click.UsageError(f"there is no vocabulary at {merges}")
    from .build import build_bundle

    bundle = build_bundle(
        checkpoint,
        out,
        options={**options, **{name: value for name, value in flags.items() if value is not None}},
        system=system,
        sampler=sampler,
        resize=resize,
        shortlist=shortlist,
        scan_limit=scan_limit,
        merges=merges,
        extractor=extractor,
        key=key,
        prefix=prefix,
        overwrite=overwrite,
        report=lambda line: click.echo(line, err=True),
        bar=_bar,
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
    another frame into the top K. Exits with 1 on a breach. A quantised bundle breaches these limits by design; it is
    held to what was recorded when it was made.

    \b
    Example:
      framesift check bundles/demo
    """
    from . import parity
    from .build import eager_system
    from .bundle.store import Bundle
    from .parity_rows import demand, table
    from .precision.int8_bundle import demand_recorded, describe_int8, precision_of

    opened = Bundle.open(bundle)
    system = eager_system(opened)
    with _bar("comparing", parity.steps(system)) as done:
        rows = list(parity.compare_graphs(system, opened.root, seed=seed, done=done))
    click.echo(table(rows))
    if precision_of(opened.manifest) == "fp32":
        demand(rows)
    else:
        click.echo(describe_int8(opened.manifest))
        demand_recorded(rows, opened.manifest)
