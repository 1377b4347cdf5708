"""``framesift bench stages``."""

from __future__ import annotations

import os
from pathlib import Path

import click

from ..options import bundle_argument, model_option, pattern, results_option, work_option


@click.command("stages", short_help="Each stage by itself, every engine.")
@bundle_argument
@model_option
@click.option("--cases", default="", callback=pattern, help="Only cases that match this pattern, as 'score, batch 1,'.")
@click.option("--engines", default="", callback=pattern, help="Only engines that match, as 'native|eager'.")
@click.option(
    "--videos",
    "galleries",
    multiple=True,
    default=(1_000, 10_000),
    show_default=True,
    type=click.IntRange(10),
    help="Size of the gallery; may be given several times.",
)
@click.option("--seconds", default=2.0, show_default=True, type=click.FloatRange(0), help="For each case.")
@click.option("--threads", type=click.IntRange(1), help="Of every engine; as many as there are cores if not given.")
@work_option
@results_option
@click.option("--samples", type=click.Path(dir_okay=False, path_type=Path), help="File for every round's seconds.")
def stages_command(
    bundle: Path | None,
    model: str,
    cases: str,
    engines: str,
    galleries: tuple[int, ...],
    seconds: float,
    threads: int | None,
    work: Path,
    results: Path,
    samples: Path | None,
) -> None:
    """Time every stage of BUNDLE by itself, in this process.

    Tokenise, text tower, decode, video tower, score, top-n; ONNX Runtime and framesift's own scan beside eager and
    compiled PyTorch, in turns on the same inputs. Only what agrees with eager float64 is timed; an engine that doesn't
    is refused, and the exit status is 1.

    \b
    Examples:
      framesift bench stages
      framesift bench stages bundles/mine --cases 'text tower' --engines 'onnxruntime|eager'
    """
    from ..schema.files import write
    from .timing import rows_of, run, write_samples

    name = model if bundle is None else bundle.name
    found = run(
        bundle,
        name,
        work,
        cases=cases,
        engines=engines,
        galleries=galleries,
        budget_s=seconds,
        threads=threads or len(os.sched_getaffinity(0)),
        report=click.echo,
    )
    if samples is not None:
        write_samples(found, samples)
    click.echo(f"rows in {write('stages', [row for one in found for row in rows_of(one, name)], results)}")
    if any(one.refused for one in found):
        raise click.exceptions.Exit(1)
