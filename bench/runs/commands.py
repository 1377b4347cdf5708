"""``framesift bench demo`` and ``framesift bench ablation``."""

from __future__ import annotations

import io
import json
import sys
from contextlib import redirect_stdout
from dataclasses import fields
from pathlib import Path
from typing import TextIO

import click

from ..options import results_option, work_option

_FILE = click.Path(dir_okay=False, path_type=Path)
# From the demo's last query to the end of its job; the next steps name folders of this machine.
_SHOWN, _END = "\n  a ", " To go on by hand"


@click.command("demo", short_help="The demo, with its last lines kept.")
@click.option("--clips", default=240, show_default=True, type=click.IntRange(10, 500), help="How many videos.")
@work_option
@results_option
def demo_command(clips: int, work: Path, results: Path) -> None:
    """Run `framesift demo`, and keep what it prints in the end.

    \b
    Example:
      framesift bench demo --results bench/results
    """
    from ...serving.demo import run_demo
    from ..schema.files import write
    from ..schema.rows import Demo

    printed = _Both(sys.stdout)
    with redirect_stdout(printed):
        run_demo(work / "demo", clips)
    path = write("demo", [Demo(lines=last_lines(printed.getvalue()))], results)
    click.echo(f"rows in {path}")


def last_lines(printed: str) -> tuple[str, ...]:
    """What ``framesift demo`` printed from its last query on to the time that it took."""
    return tuple(printed[printed.rindex(_SHOWN) :].partition(_END)[0].strip().splitlines())


class _Both(io.StringIO):
    """Keeps what is printed, and prints it."""

    def __init__(self, shown: TextIO) -> None:
        super().__init__()
        self._shown = shown

    def write(self, text: str) -> int:
        self._shown.write(text)
        return super().write(text)

    def flush(self) -> None:
        self._shown.flush()


@click.command("ablation", short_help="The paper's two ablations.")
@click.argument("train", type=_FILE)
@click.argument("test", type=_FILE)
@click.option("--init", required=True, type=_FILE, help="Checkpoint whose towers every row starts from.")
@click.option("--epochs", default=10, show_default=True, type=click.IntRange(1), help="Of every row.")
@click.option("--batch-size", default=64, show_default=True, type=click.IntRange(2), help="Of every step.")
@click.option("--lr", default=1e-3, show_default=True, type=click.FloatRange(0, min_open=True), help="Peak rate.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Of weights and order.")
@work_option
@results_option
def ablation_command(
    train: Path, test: Path, init: Path, epochs: int, batch_size: int, lr: float, seed: int, work: Path, results: Path
) -> None:
    """Run `framesift ablate`, and keep its rows.

    \b
    Example:
      framesift bench ablation train.jsonl test.jsonl --init model.safetensors
    """
    from ...export.training.ablation import run_ablation
    from ..schema.files import write
    from ..schema.rows import Ablation

    out = work / "ablation"
    run_ablation(train, test, init, out, epochs=epochs, batch_size=batch_size, lr=lr, seed=seed)
    names = {field.name for field in fields(Ablation)}
    found = (json.loads(line) for line in (out / "ablation.jsonl").read_text(encoding="utf-8").splitlines())
    rows = [Ablation(**{name: value for name, value in row.items() if name in names}) for row in found]
    click.echo(f"rows in {write('ablation', rows, results)}")
