"""When requests are to be sent."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def poisson(rate: float, seconds: float, seed: int) -> npt.NDArray[np.float64]:
    """Arrivals in [0, ``seconds``) of a Poisson process of ``rate`` a second, ascending; as many as chance gives.

    Several such streams sent at once are one Poisson process of the sum of their rates.
    """
    rng = np.random.default_rng(seed)
    return np.sort(rng.uniform(0, seconds, rng.poisson(rate * seconds)))


def corrected(latencies: npt.NDArray[np.float64], interval: float) -> npt.NDArray[np.float64]:
    """What a closed loop's latencies would be had its clients gone on sending every ``interval`` seconds.

    A client that waits for a slow answer leaves out the requests which would have waited with it. As HdrHistogram does,
    a latency above the interval also counts as latency - interval, latency - 2 interval and so on (Gil Tene,
    "coordinated omission").

    Args:
        latencies: in seconds.
        interval: what a client was expected to take for one request, in seconds.
    """
    missed = np.maximum(np.ceil(latencies / interval).astype(np.int64) - 1, 0)
    steps = np.arange(missed.sum()) - np.repeat(np.cumsum(missed) - missed, missed) + 1
    return np.concatenate([latencies, np.repeat(latencies, missed) - steps * interval])
