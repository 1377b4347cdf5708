"""As many blocks of both towers in 8 bits as the gate on ranking allows."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

from ..bundle.ports import TEXT_ENCODER, VIDEO_ENCODER
from .calibration import Feeds
from .gate import Gate
from .int8 import quantisable_stages
from .verdict import StageError, Verdict, demand

TOWERS = (TEXT_ENCODER, VIDEO_ENCODER)
# Number of inputs that set the ranges of activations.
_RANGED = 32

Write = Callable[[Path, Path, Sequence[Feeds], Collection[str]], None]
"""Quantises a graph: from, to, inputs that range its activations, stages that stay float32."""


def fitted(
    gate: Gate,
    folder: Path,
    precision: str,
    write: Write,
    *,
    optimise: bool = True,
    report: Callable[[str], None] = lambda _: None,
) -> tuple[dict[str, list[str]], Verdict]:
    """Write both towers into ``folder`` with as few stages in float32 as the gate asks for.

    Where the gate does not hold with all stages in 8 bits, the one that adds most to the error goes back to float32,
    one after another, until it holds or half of them are float32.

    Args:
        optimise: see ``Gate.judge``.
        report: called with a line for every step.

    Returns:
        The stages of each graph that are float32, and the last verdict.

    Raises:
        PrecisionError: the gate does not hold; the message has the numbers.
    """
    feeds = {TEXT_ENCODER: gate.inputs.texts[:_RANGED], VIDEO_ENCODER: gate.inputs.videos[:_RANGED]}
    known = {graph: quantisable_stages(gate.bundle.graph(graph)) for graph in TOWERS}
    floating: dict[str, list[str]] = {graph: [] for graph in TOWERS}
    changed: Sequence[str] = TOWERS
    while True:
        for graph in changed:
            report(f"quantising the {graph}")
            write(gate.bundle.graph(graph), folder / f"{graph}.onnx", feeds[graph], floating[graph])
        verdict = gate.judge(folder, precision, optimise=optimise)
        report(verdict.describe())
        spent = 2 * sum(map(len, floating.values())) >= sum(map(len, known.values()))
        if verdict.ok or spent:
            demand(verdict)
            return floating, verdict
        worst = _adds_most(verdict, known, floating)
        report(f"{worst.stage} of the {worst.graph} goes back to float32")
        floating[worst.graph].append(worst.stage)
        changed = (worst.graph,)


def _adds_most(
    verdict: Verdict, known: Mapping[str, Sequence[str]], floating: Mapping[str, Sequence[str]]
) -> StageError:
    """The quantised stage after which the squared error has grown most."""
    best, most, before, graph = verdict.stages[0], -1.0, 0.0, ""
    for stage in verdict.stages:
        before = before if stage.graph == graph else 0.0
        graph = stage.graph
        added = stage.error**2 - before**2
        if added > most and stage.stage in known[graph] and stage.stage not in floating[graph]:
            best, most = stage, added
        before = stage.error
    return best
