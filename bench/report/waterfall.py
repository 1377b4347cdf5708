"""One search, stage by stage and served."""

from __future__ import annotations

from ..schema.kinds import STAGES
from .results import Results

_GALLERY = 10_000
# As a search is served; the compiled scorer of text-conditioned attention goes by a name of its own.
_ENGINES = {"tokenise": {"framesift"}, "text tower": {"onnxruntime"}, "score+top-n": {"native", "framesift"}}


def one_search(results: Results) -> dict[str, tuple[dict[str, float], float]]:
    """For each model p50 in ms of each stage of a search over 10,000 videos, and of one search at a time when served.

    Models that lack one of them are left out.
    """
    steps: dict[str, dict[str, float]] = {}
    for stage, engines in _ENGINES.items():
        for row in results.of(STAGES):
            fits = row.stage == stage and row.batch == 1 and row.videos in (None, _GALLERY)
            if fits and row.engine in engines:
                steps.setdefault(row.model, {})[stage] = row.p50_ms
    served = {row.model: row.latency.p50_ms for row in results.searches() if row.concurrency == 1}
    found = ((model, own, served.get(model)) for model, own in steps.items() if len(own) == len(_ENGINES))
    return {model: (own, alone) for model, own, alone in found if alone is not None}
