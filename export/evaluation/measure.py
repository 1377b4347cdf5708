"""A score matrix to a report: post-processing, then one rule, in one or both directions."""

from __future__ import annotations

from collections.abc import Sequence

from ..bundle.errors import InvalidInput
from .names import DEFAULT_RULE, T2V, V2T
from .postprocess import dual_softmax, querybank_norm
from .report import EvaluationReport
from .rules import RULES
from .scores import Floats, ScoreMatrix


def measure(
    matrix: ScoreMatrix,
    *,
    rule: str = DEFAULT_RULE,
    directions: Sequence[str] = (T2V,),
    dual: bool = False,
    bank: Floats | None = None,
    scale: float = 1.0,
) -> EvaluationReport:
    """Measure a score matrix.

    Args:
        rule: a name in ``RULES``.
        directions: ``t2v``, ``v2t`` or both.
        dual: multiply scores by their softmax over all captions first (DSL).
        bank: scores [N, V] of training queries, to discount hubs with first (QB-norm), for ``t2v``.
        scale: what scores are multiplied by before either.

    Raises:
        InvalidInput: scores that the rule can't rank, or options that don't go together.
    """
    if dual and bank is not None:
        raise InvalidInput("DSL and QB-norm can't be combined: choose one")
    if bank is not None and V2T in directions:
        raise InvalidInput("QB-norm changes rows one by one, so their columns can't be ranked: measure t2v alone")
    name = "DSL" if dual else "QB-norm" if bank is not None else None
    if dual:
        matrix = matrix.map(dual_softmax(scale * matrix.scores))
    elif bank is not None:
        matrix = matrix.map(querybank_norm(scale * matrix.scores, scale * bank))
    measured = {direction: RULES[rule].measure(matrix, direction) for direction in directions}
    queries, videos = matrix.scores.shape
    return EvaluationReport(rule, queries, videos, measured, name)
