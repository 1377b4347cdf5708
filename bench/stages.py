"""``framesift bench stages``: the time of each stage by itself, engine beside engine, in one process."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .options import bundle_argument, model_option, results_option, work_option

if TYPE_CHECKING:
    from .stage_cases import Case

Row = dict[str, Any]

_MOST_ROUNDS, _LEAST_ROUNDS = 301, 5
_PAUSE_S = 0.002


@dataclass(frozen=True)
class Timed:
    """Seconds of every round of every engine of a case, and what was refused: engine to difference."""

    case: Case
    seconds: Mapping[str, list[float]]
    refused: Mapping[str, str]


def measure(case: Case, budget_s: float, least: int = _LEAST_ROUNDS) -> Timed:
    """Check every engine, then time those that are right, in turns.

    Args:
        budget_s: for all engines of the case together; ``least`` rounds are run in any case.
    """
    refused: dict[str, str] = {}
    for name, run in case.engines.items():
        fault = case.fault(run())
        if fault is not None:
            refused[name] = fault
    runs = [(name, run) for name, run in case.engines.items() if name not in refused]
    seconds: dict[str, list[float]] = {name: [] for name, _ in runs}
    deadline = time.perf_counter() + budget_s
    for round_ in range(_MOST_ROUNDS if runs else 0):
        if round_ >= least and time.perf_counter() > deadline:
            break
        # Nobody always comes after the same neighbour.
        turn = round_ % len(runs)
        for name, run in (*runs[turn:], *runs[:turn]):
            # Threads of the engine before spin for a while after its last call.
            time.sleep(_PAUSE_S)
            started = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - started)
    return Timed(case, seconds, refused)


def rows_of(timed: Timed, model: str) -> list[Row]:
    """A row for every engine that was timed."""
    import numpy as np

    spec, baseline = timed.case.spec, timed.case.baseline
    medians = {name: float(np.median(values)) for name, values in timed.seconds.items()}
    found = []
    for name, values in timed.seconds.items():
        p20, p50, p80 = (round(float(x), 5) for x in np.percentile(1e3 * np.array(values), (20, 50, 80)))
        found.append(
            {
                "stage": spec.stage,
                "engine": name,
                "model": model,
                "batch": spec.batch,
                "videos": spec.videos,
                "p20_ms": p20,
                "p50_ms": p50,
                "p80_ms": p80,
                "rounds": len(values),
                "per_item_ms": round(p50 / spec.batch, 5),
                "baseline": baseline,
                "times_faster": round(medians[baseline] / medians[name], 3) if baseline in medians else None,
            }
        )
    return found


_HEADER = (
    f"{'stage':13}{'batch':>5}{'gallery':>8} {'engine':22}{'p20':>11}{'p50':>11}{'p80':>11}   {'against':>11}  rounds"
)


def line(row: Row) -> str:
    """One row as text."""
    gallery = "" if row["videos"] is None else f"{row['videos']:,}"
    faster = "" if row["times_faster"] is None else f"{row['times_faster']:9.2f}x"
    return (
        f"{row['stage']:13}{row['batch']:>4}{gallery:>8}  {row['engine']:22}"
        f"{row['p20_ms']:>11.3f}{row['p50_ms']:>11.3f}{row['p80_ms']:>11.3f} ms{faster:>11}  n={row['rounds']}"
    )


def run(
    bundle: Path | None,
    model: str,
    work: Path,
    *,
    cases: str,
    engines: str,
    galleries: Sequence[int],
    budget_s: float,
    threads: int,
    report: Callable[[str], None],
) -> list[Timed]:
    """Measure all cases and engines that match the regular expressions ``cases`` and ``engines``."""
    import torch

    from .baselines.material import queries
    from .baselines.models import bundle_of
    from .stage_cases import Stages, specs

    torch.set_num_threads(threads)
    opened = bundle_of(bundle or model, work, report)
    pattern = re.compile(engines)
    stages = Stages(opened, queries(2000), work, lambda name: bool(pattern.search(name)))
    chosen = [spec for spec in specs(galleries) if re.search(cases, str(spec))]
    found = []
    report(_HEADER)
    for spec in chosen:
        case = stages.case(spec)
        if case is None:
            report(f"{spec}: no such stage, or no such engine, for this model")
            continue
        timed = measure(case, budget_s)
        for row in rows_of(timed, model):
            report(line(row))
        for name, fault in timed.refused.items():
            report(f"{spec}, {name}: REFUSED, not timed: {fault}")
        found.append(timed)
    return found


def write_samples(found: Sequence[Timed], path: Path) -> None:
    """Every round's seconds as JSON: ``{"stage, batch n: engine": [...]}``."""
    samples = {f"{one.case.spec}: {name}": values for one in found for name, values in one.seconds.items()}
    path.write_text(json.dumps(samples), encoding="utf-8")


def _pattern(ctx: click.Context, parameter: click.Parameter, value: str) -> str:
    try:
        re.compile(value)
    except re.error as error:
        raise click.BadParameter(f"{value!r} is no regular expression: {error}") from error
    return value


@click.command("stages")
@bundle_argument
@model_option
@click.option(
    "--cases", default="", callback=_pattern, help="Only cases that match this pattern, as 'score, batch 1,'."
)
@click.option("--engines", default="", callback=_pattern, help="Only engines that match, as 'native|eager'.")
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
    results: Path | None,
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
    import os

    from . import rows

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
    if results is not None:
        click.echo(f"written to {rows.write('stages', [r for one in found for r in rows_of(one, name)], results)}")
    if any(one.refused for one in found):
        raise click.exceptions.Exit(1)


if __name__ == "__main__":
    stages_command()
