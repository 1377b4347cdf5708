"""How much of the CPU went into the models' own work, and how much into transport.

Transport is everything else that the server does for a request: gRPC, the ensembles' steps, queues, copies into and out
of shared memory, tensors made of requests and responses. ``tritonserver`` itself is all transport. A model's process
counts the CPU seconds, of all its threads, that pass while its ``run`` runs, and those of its whole life; the server
shows both among its metrics. The part of the first in the second is the part of compute in what the operating system
says that the process used, so that it does not matter that the metrics are up to a second old.
"""

from __future__ import annotations

import re
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, replace

from ...serving.backends.cpu_accounting import COMPUTE, PROCESS
from ..schema.load import ProcessUse

_TIMEOUT_S = 5.0
_LINE = re.compile(rf'^({COMPUTE}|{PROCESS}){{[^}}]*model="([^"]+)"[^}}]*}} (\S+)$', re.MULTILINE)


@dataclass(frozen=True)
class Account:
    """CPU seconds of a model's processes so far: of its own work, and of everything they do."""

    compute_s: float = 0.0
    process_s: float = 0.0


def accounts(metrics: str | None) -> dict[str, Account]:
    """Every model's account, from the metrics at host:port; none where nothing answers there or no model reports."""
    if metrics is None:
        return {}
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://{metrics}/metrics", timeout=_TIMEOUT_S) as answer:
            return parsed(answer.read().decode())
    except OSError:
        return {}


def parsed(text: str) -> dict[str, Account]:
    """Every model's account in the text form of Prometheus."""
    found: dict[str, dict[str, float]] = {}
    for metric, model, value in _LINE.findall(text):
        counts = found.setdefault(model, dict.fromkeys((COMPUTE, PROCESS), 0.0))
        counts[metric] += float(value)
    return {model: Account(counts[COMPUTE], counts[PROCESS]) for model, counts in found.items()}


def with_compute(
    processes: Mapping[str, ProcessUse], before: Mapping[str, Account], after: Mapping[str, Account]
) -> dict[str, ProcessUse]:
    """What ``processes.spent`` returned, with ``compute_s`` of every model that reports it."""
    told = {}
    for name, used in processes.items():
        late, early = after.get(name, Account()), before.get(name, Account())
        passed = late.process_s - early.process_s
        part = (late.compute_s - early.compute_s) / passed if passed > 0 else None
        told[name] = used if part is None else replace(used, compute_s=round(part * used.cpu_s, 3))
    return told


def compute_share(processes: Mapping[str, ProcessUse]) -> float | None:
    """The part of compute in the CPU that all the server's processes used; None where no model reports."""
    computed = [used.compute_s for used in processes.values() if used.compute_s is not None]
    total = sum(used.cpu_s for used in processes.values())
    return round(sum(computed) / total, 4) if computed and total else None
