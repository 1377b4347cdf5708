"""The same search behind several services: equal results first, then throughput in interleaved rounds."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from ...export.bundle.errors import ParityError
from ...export.evaluation.overlap import best, overlap
from ...serving.ranking_parity import compare
from ..inputs.corpus import Corpus
from ..load.clients import Clients, soon, together
from ..load.figures import answers
from ..load.jobs import Job, Work
from ..load.sources import Found
from ..load.worker import ask
from ..schema.load import Answers
from ..schema.row import Row
from ..schema.rows import Loop
from .services import SERVICES, Service, served, threads
from .summary import summaries

Report = Callable[[str], None]

_CHECKED = 24
# Videos that the published formula scores at a time, for all queries that are checked.
_BLOCK = 256
_WARM_UP_S = 1.0
_TIMEOUT_S = 600.0


@dataclass(frozen=True)
class Plan:
    """What is measured: every service at every concurrency, ``rounds`` times for ``seconds`` each.

    ``http_threads`` as in ``services.served``.
    """

    services: tuple[Service, ...]
    concurrencies: tuple[int, ...]
    rounds: int
    seconds: float
    http_threads: int | None = None


@dataclass(frozen=True)
class Agreed:
    """How a service's ten best agree with the published formula's: see ``LoopSummary``."""

    overlap: float
    equal: str = ""


def run(plan: Plan, corpus: Corpus, model: str, report: Report) -> list[Row]:
    """Measure, and return a row for each loop and a summary for each service and concurrency.

    Raises:
        ParityError: services of one formula don't give the same results; nothing was measured then.
        ServerStartError: a service did not start.
    """
    with contextlib.ExitStack() as running:
        addresses: dict[str, str] = {}
        for service in plan.services:
            report(f"starting {service.name}: {service.what}")
            addresses[service.name] = running.enter_context(served(service, corpus, plan.http_threads))
        agreed = check(plan.services, addresses, corpus, report)
        clients = {
            service.name: running.enter_context(
                Clients(Work(addresses[service.name], service.source(corpus.queries), timeout_s=_TIMEOUT_S), 1)
            )
            for service in plan.services
        }
        rows: list[Loop] = []
        for round_ in range(plan.rounds):
            for concurrency in plan.concurrencies:
                # No service always follows the same one.
                turn = round_ % len(plan.services)
                for service in (*plan.services[turn:], *plan.services[:turn]):
                    if not round_:
                        _answers(clients[service.name], concurrency, min(_WARM_UP_S, plan.seconds))
                    about = service.name, model, len(corpus), concurrency, round_
                    rows.append(loop(clients[service.name], plan.seconds, *about))
                    report(line(rows[-1]))
        told = {name: (agreed[name], threads(SERVICES[name], address)) for name, address in addresses.items()}
        found = ((summary, *told[summary.service]) for summary in summaries(rows))
        return [*rows, *(replace(one, threads=cores, overlap=a.overlap, equal=a.equal) for one, a, cores in found)]


def loop(
    clients: Clients, seconds: float, service: str, model: str, videos: int, concurrency: int, round_: int
) -> Loop:
    """A closed loop of ``concurrency`` clients."""
    found = _answers(clients, concurrency, seconds)
    return Loop(
        service=service,
        model=model,
        videos=videos,
        concurrency=concurrency,
        round=round_,
        qps=found.qps,
        requests=found.requests,
        errors=found.failed,
        latency=found.latency,
        load_1min=round(os.getloadavg()[0], 2),
    )


def check(
    services: Sequence[Service], addresses: Mapping[str, str], corpus: Corpus, report: Report
) -> dict[str, Agreed]:
    """Compare every service's ten best videos with the published formula's.

    Raises:
        ParityError: a service of the same formula ranks otherwise, where scores are no ties.
    """
    queries, ids = corpus.queries[-_CHECKED:], corpus.ids
    reference = _reference(corpus, queries)
    # A tie is a matter of rounding, which is relative: some systems' scores are as large as their temperature.
    scale = max(1.0, float(np.abs(reference[np.isfinite(reference)]).max()))
    agreed = {}
    for service in services:
        found = asyncio.run(ask(addresses[service.name], service.source(queries), _TIMEOUT_S))
        share = round(_overlap(found, ids, reference), 4)
        agreed[service.name] = Agreed(share)
        if not service.same_scores:
            report(f"{service.name}: another formula; {share:.0%} of its ten best are the published formula's")
            continue
        same = compare([a for a, _ in found], [np.array(b) / scale for _, b in found], ids, reference / scale)
        if same.equal != same.queries:
            raise ParityError(
                f"{service.name} gives the published formula's ten best for {same.equal} of {same.queries} "
                f"queries only (scores differ by up to {same.worst:.1e}, {same.off} by more): not measured"
            )
        agreed[service.name] = Agreed(share, f"{same.equal} of {same.queries}")
        report(
            f"{service.name}: the published formula's ten best for {same.equal} of {same.queries} queries, "
            f"scores within {same.worst:.0e}" + (f", {same.off} not" if same.off else "")
        )
    return agreed


def line(row: Loop) -> str:
    """One loop as text."""
    told = f"round {row.round}  {row.concurrency:>3} clients  {row.service:18}{row.qps:>9.1f} qps"
    latency = row.latency
    if latency.p50_ms is not None:
        told += f"  p50 {latency.p50_ms:8.1f}  p95 {latency.p95_ms:8.1f}  p99 {latency.p99_ms:8.1f} ms"
    return told + (f"  {row.errors} errors" if row.errors else "")


def _answers(clients: Clients, concurrency: int, seconds: float) -> Answers:
    (report,) = together([(clients, Job("closed", soon(), seconds, concurrency=concurrency))])
    return answers(report, seconds)


def _reference(corpus: Corpus, queries: list[str]) -> NDArray[np.float32]:
    """The published formula's scores float32 [Q, N], in eager PyTorch."""
    published = corpus.published
    text = published.encode(torch.from_numpy(corpus.bundle.tokenizer().encode(queries)))
    found: NDArray[np.float32] = published.scores(text, corpus.videos, block=_BLOCK).numpy()
    return found


def _overlap(found: Sequence[Found], ids: list[str], reference: NDArray[np.float32]) -> float:
    places = {name: row for row, name in enumerate(ids)}
    rows = [[places[name] for name in names] for names, _ in found]
    return overlap(rows, best(reference, len(rows[0])).tolist())
