"""How long a search over many shards takes: the latest of their answers decides.

A shard's latency is drawn from the percentiles that were measured of one server, between which its logarithm is
interpolated; below the median nothing was measured, and it is taken to be the median. Shards are taken to be
independent of one another. Those that slow down together are late together, as late as one alone: this is the worse.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..schema.load import Percentiles

Latencies = npt.NDArray[np.float64]
_SEED = 20
# Draws of one shard, from which the latest of many is drawn again.
DRAWS = 1 << 20


@dataclass(frozen=True)
class Tail:
    """Searches over ``shards``, in milliseconds.

    Attributes:
        p50_ms, p99_ms: of a search that waits for all shards.
        hedged_p99_ms: where a shard that has not answered within its p95 is asked a second time, of a replica.
        deadline_ms: three times a shard's median.
        missing: the share of searches that lack a shard's answer at the deadline.
        lacking: the share of the gallery that those searches lack, on average.
    """

    shards: int
    p50_ms: float
    p99_ms: float
    hedged_p99_ms: float
    deadline_ms: float
    missing: float
    lacking: float


def drawn(measured: Percentiles, requests: int, draws: int = DRAWS, seed: int = _SEED) -> Latencies:
    """Latencies [draws] in milliseconds of a server whose percentiles were measured over so many requests.

    Beyond the largest that was measured nothing is known, so none is larger.
    """
    known = {0.5: measured.p50_ms, 0.95: measured.p95_ms, 0.99: measured.p99_ms, 0.999: measured.p999_ms}
    known[max(1 - 1 / max(requests, 1), 0.9995)] = measured.max_ms
    levels, values = np.array(list(known)), np.maximum.accumulate(np.array(list(known.values())))
    uniform = np.random.default_rng(seed).random(draws)
    # Percentiles lie evenly where the share beyond them is counted in powers of ten.
    made: Latencies = np.exp(np.interp(-np.log10(1 - uniform), -np.log10(1 - levels), np.log(values)))
    return made


def simulate(shards: int, one: Latencies, seed: int = _SEED) -> Tail:
    """A search over so many shards, each with the latencies ``one`` [N] in milliseconds."""
    random = np.random.default_rng([seed, shards])
    ordered = np.sort(one)
    hedge = float(np.percentile(ordered, 95))
    again = random.choice(one, len(one))
    hedged = np.sort(np.where(one > hedge, np.minimum(one, hedge + again), one))
    late, late_hedged = (_latest(values, shards, random) for values in (ordered, hedged))
    deadline = 3 * float(np.median(one))
    missed = float(np.mean(one > deadline))
    missing = 1 - (1 - missed) ** shards
    return Tail(
        shards,
        float(np.median(late)),
        float(np.percentile(late, 99)),
        float(np.percentile(late_hedged, 99)),
        deadline,
        missing,
        missed / missing if missing else 0.0,
    )


def _latest(ordered: Latencies, shards: int, random: Any) -> Latencies:
    """The latest answers [N] of so many shards: of uniform numbers the largest of n is the n-th root of one."""
    largest = random.random(len(ordered)) ** (1 / shards)
    found: Latencies = ordered[np.minimum((largest * len(ordered)).astype(np.intp), len(ordered) - 1)]
    return found
