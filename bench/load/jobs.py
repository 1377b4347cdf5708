"""What clients are asked to do, and what they saw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from .channels import OK
from .sources import Source


@dataclass(frozen=True)
class Work:
    """What a client sends, and where to; a request without an answer has failed after ``timeout_s``."""

    address: str
    source: Source
    seed: int = 0
    timeout_s: float = 30.0


@dataclass(frozen=True)
class Job:
    """When to send: an open loop at ``rate`` a second, or a closed loop of ``concurrency`` requests at a time.

    ``start`` is a moment of the machine's monotonic clock. Requests are sent for ``seconds``, and all answers awaited.
    With ``patient`` a request that the server refused is sent again, as framesift's own clients do with searches.
    """

    loop: Literal["open", "closed"]
    start: float
    seconds: float
    rate: float = 0.0
    concurrency: int = 0
    seed: int = 0
    patient: bool = False


@dataclass(frozen=True)
class Report:
    """What a client saw, one entry a request: seconds after the job's start, and the place in ``outcomes``.

    ``intended`` is when the request was to be sent; in a closed loop that is when it was. An outcome is a status and
    whether the client would call it a refusal that may be tried again. Of a request that was sent several times,
    ``retried`` of them after a refusal, ``sent`` is the first time, and end and outcome are the last's.
    """

    intended: npt.NDArray[np.float64]
    sent: npt.NDArray[np.float64]
    ended: npt.NDArray[np.float64]
    outcome: npt.NDArray[np.int64]
    outcomes: list[tuple[str, bool]]
    cpu_s: float
    retried: npt.NDArray[np.int64]

    @property
    def latency(self) -> npt.NDArray[np.float64]:
        """Seconds from when each request was to be sent to its end."""
        return self.ended - self.intended

    @property
    def succeeded(self) -> npt.NDArray[np.bool_]:
        """Which requests were answered."""
        return self._among({place for place, (name, _) in enumerate(self.outcomes) if name == OK})

    @property
    def refused(self) -> npt.NDArray[np.bool_]:
        """Which requests were turned away with a status that says to try again."""
        return self._among({place for place, (_, retriable) in enumerate(self.outcomes) if retriable})

    @property
    def refused_at_first(self) -> npt.NDArray[np.bool_]:
        """Which requests were turned away when they were first sent, whatever became of them."""
        return self.refused | (self.retried > 0)

    def _among(self, places: set[int]) -> npt.NDArray[np.bool_]:
        return np.isin(self.outcome, list(places))


def joined(reports: Sequence[Report]) -> Report:
    """One report of all clients'."""
    names = list(dict.fromkeys(outcome for report in reports for outcome in report.outcomes))
    places = [np.array([names.index(outcome) for outcome in report.outcomes]) for report in reports]
    return Report(
        np.concatenate([report.intended for report in reports]),
        np.concatenate([report.sent for report in reports]),
        np.concatenate([report.ended for report in reports]),
        np.concatenate([place[report.outcome] for place, report in zip(places, reports, strict=True)]),
        names,
        sum(report.cpu_s for report in reports),
        np.concatenate([report.retried for report in reports]),
    )
