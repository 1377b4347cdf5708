"""The time of each engine of a case, in turns in one process, once it is known to be right."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ..inputs.models import bundle_of
from ..inputs.queries import captions
from ..percentiles import rounds
from ..schema.rows import Stage
from .case import Case, specs
from .cases import Stages

_MOST_ROUNDS, _LEAST_ROUNDS = 301, 5
_PAUSE_S = 0.002
_TEXTS = 2000
HEADER = (
    f"{'stage':13}{'batch':>5}{'gallery':>8} {'engine':22}{'p20':>11}{'p50':>11}{'p80':>11}   {'against':>11}  rounds"
)


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
        # No engine always follows the same one.
        turn = round_ % len(runs)
        for name, run in (*runs[turn:], *runs[:turn]):
            # Threads of the engine before spin for a while after its last call.
            time.sleep(_PAUSE_S)
            started = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - started)
    return Timed(case, seconds, refused)


def rows_of(timed: Timed, model: str) -> list[Stage]:
    """A row for every engine that was timed."""
    spec, baseline = timed.case.spec, timed.case.baseline
    medians = {name: float(np.median(values)) for name, values in timed.seconds.items()}
    found = []
    for name, values in timed.seconds.items():
        p20, p50, p80 = (round(time, 5) for time in rounds(values))
        found.append(
            Stage(
                stage=spec.stage,
                engine=name,
                model=model,
                batch=spec.batch,
                videos=spec.videos,
                p20_ms=p20,
                p50_ms=p50,
                p80_ms=p80,
                rounds=len(values),
                per_item_ms=round(p50 / spec.batch, 5),
                baseline=baseline,
                times_faster=round(medians[baseline] / medians[name], 3) if baseline in medians else None,
            )
        )
    return found


def line(row: Stage) -> str:
    """One row as text."""
    gallery = "" if row.videos is None else f"{row.videos:,}"
    faster = "" if row.times_faster is None else f"{row.times_faster:9.2f}x"
    return (
        f"{row.stage:13}{row.batch:>4}{gallery:>8}  {row.engine:22}"
        f"{row.p20_ms:>11.3f}{row.p50_ms:>11.3f}{row.p80_ms:>11.3f} ms{faster:>11}  n={row.rounds}"
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
    torch.set_num_threads(threads)
    opened = bundle_of(bundle or model, work, report)
    pattern = re.compile(engines)
    stages = Stages(opened, captions(_TEXTS), work, lambda name: bool(pattern.search(name)))
    found = []
    report(HEADER)
    for spec in specs(galleries):
        if not re.search(cases, str(spec)):
            continue
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
