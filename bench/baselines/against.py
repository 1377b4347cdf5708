"""The same search behind several servers: equal results first, then throughput in interleaved rounds."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ...export.bundle.errors import ParityError
from ...export.evaluation.overlap import best, overlap
from ...serving.ranking_parity import compare
from .driver import Driver, Found, Target
from .material import Material
from .services import EAGER, HUGGING_FACE, Service, served, threads

Row = dict[str, Any]
Report = Callable[[str], None]

_CHECKED = 24
# Videos that the published formula scores at a time, for all queries that are checked.
_BLOCK = 256
_WARM_UP_S = 1.0


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


def run(plan: Plan, material: Material, model: str, report: Report) -> list[Row]:
    """Measure, and return a row for each loop and a summary for each service and concurrency.

    Raises:
        ParityError: services of one formula don't give the same results; nothing was measured then.
        ServerStartError: a service did not start.
    """
    with Driver() as driver, contextlib.ExitStack() as running:
        targets: dict[str, Target] = {}
        for service in plan.services:
            report(f"starting {service.name}: {service.what}")
            targets[service.name] = running.enter_context(served(service, material, plan.http_threads))
        agreed = check(plan.services, targets, material, driver, report)
        for service in plan.services:
            if service.protocol == "http":
                agreed[service.name]["threads"] = threads(targets[service.name])
        rows: list[Row] = []
        named = {"model": model, "videos": len(material)}
        for round_ in range(plan.rounds):
            for concurrency in plan.concurrencies:
                # Nobody always comes after the same neighbour.
                turn = round_ % len(plan.services)
                for service in (*plan.services[turn:], *plan.services[:turn]):
                    target = targets[service.name]
                    queries = _turned(material.queries, len(rows))
                    if not round_:
                        driver.measure(target, queries, concurrency, min(_WARM_UP_S, plan.seconds))
                    found = driver.measure(target, queries, concurrency, plan.seconds)
                    told = {"service": service.name, **named, "concurrency": concurrency, "round": round_}
                    rows.append({**told, **found.row(), "load_1min": round(os.getloadavg()[0], 2)})
                    report(line(rows[-1]))
        return [*rows, *({**summary, **named, **agreed[summary["service"]]} for summary in summaries(rows))]


def check(
    services: Sequence[Service],
    targets: dict[str, Target],
    material: Material,
    driver: Driver,
    report: Report,
) -> dict[str, Row]:
    """Compare every service's ten best videos with the published formula's.

    Returns:
        For each service the share of the formula's ten best that it finds (``overlap``) and of equal rankings.

    Raises:
        ParityError: a service of the same formula ranks otherwise, where scores are no ties.
    """
    queries, ids = material.queries[-_CHECKED:], material.ids
    reference = _reference(material, queries)
    # A tie is a matter of rounding, which is relative: some systems' scores are as large as their temperature.
    scale = max(1.0, float(np.abs(reference[np.isfinite(reference)]).max()))
    found: dict[str, Row] = {}
    for service in services:
        answers = driver.answers(targets[service.name], queries)
        share = _overlap(answers, ids, reference)
        told: Row = {"overlap": round(share, 4)}
        found[service.name] = told
        if not service.same_scores:
            report(f"{service.name}: another formula; {share:.0%} of its ten best are the published formula's")
            continue
        agreement = compare([a for a, _ in answers], [np.array(b) / scale for _, b in answers], ids, reference / scale)
        if agreement.equal != agreement.queries:
            raise ParityError(
                f"{service.name} gives the published formula's ten best for {agreement.equal} of {agreement.queries} "
                f"queries only (scores differ by up to {agreement.worst:.1e}, {agreement.off} by more): not measured"
            )
        told["equal"] = f"{agreement.equal} of {agreement.queries}"
        report(
            f"{service.name}: the published formula's ten best for {agreement.equal} of {agreement.queries} queries, "
            f"scores within {agreement.worst:.0e}" + (f", {agreement.off} not" if agreement.off else "")
        )
    return found


def summaries(rows: Sequence[Row]) -> list[Row]:
    """Medians over the rounds for each service and concurrency, with ratios of throughput to (a) and (b).

    A ratio is the median of the rounds' own ratios, because neighbours in time share what else the machine did.
    """
    cases: dict[tuple[str, int], list[Row]] = {}
    for row in rows:
        cases.setdefault((row["service"], row["concurrency"]), []).append(row)
    found = []
    for (service, concurrency), own in cases.items():
        summary: Row = {"service": service, "concurrency": concurrency, "summary": True, "rounds": len(own)}
        for name in ("qps", "p50_ms", "p95_ms", "p99_ms"):
            values = [row[name] for row in own if name in row]
            if values:
                summary[name] = round(median(values), 3)
        summary["requests"] = sum(row["requests"] for row in own)
        summary["errors"] = sum(row["errors"] for row in own)
        for name, other in (("ratio_qps_eager", EAGER), ("ratio_qps_hf", HUGGING_FACE)):
            ratios = [
                mine["qps"] / theirs["qps"]
                for mine, theirs in zip(own, cases.get((other, concurrency), []), strict=False)
                if theirs["qps"]
            ]
            if ratios:
                summary[name] = round(median(ratios), 3)
        found.append(summary)
    return found


def line(row: Row) -> str:
    """One loop as text."""
    told = f"round {row['round']}  {row['concurrency']:>3} clients  {row['service']:18}{row['qps']:>9.1f} qps"
    if row["requests"]:
        told += f"  p50 {row['p50_ms']:8.1f}  p95 {row['p95_ms']:8.1f}  p99 {row['p99_ms']:8.1f} ms"
    return told + (f"  {row['errors']} errors" if row["errors"] else "")


def table(rows: Sequence[Row]) -> str:
    """The summaries as aligned text."""
    lines = [f"{'clients':>7}  {'service':18}{'qps':>9}{'p50 ms':>10}{'p99 ms':>10}{'x eager':>10}{'x hf':>8}"]
    for row in sorted((row for row in rows if row.get("summary")), key=lambda row: int(row["concurrency"])):
        ratios = [f"{row[name]:.2f}" if name in row else "" for name in ("ratio_qps_eager", "ratio_qps_hf")]
        lines.append(
            f"{row['concurrency']:>7}  {row['service']:18}{row['qps']:>9.1f}{row.get('p50_ms', 0):>10.1f}"
            f"{row.get('p99_ms', 0):>10.1f}{ratios[0]:>10}{ratios[1]:>8}"
        )
    return "\n".join(lines)


def _turned(queries: list[str], by: int) -> list[str]:
    """Another start in every loop, so that no service is asked the same few queries each time."""
    start = by * 97 % len(queries)
    return queries[start:] + queries[:start]


def _reference(material: Material, queries: list[str]) -> NDArray[np.float32]:
    """The published formula's scores float32 [Q, N], in eager PyTorch."""
    ids = material.bundle.tokenizer().encode(queries)
    found: NDArray[np.float32] = material.published.scores(
        material.published.encode(torch.from_numpy(ids)), material.videos, block=_BLOCK
    ).numpy()
    return found


def _overlap(answers: Sequence[Found], ids: list[str], reference: NDArray[np.float32]) -> float:
    places = {name: row for row, name in enumerate(ids)}
    found = [[places[name] for name in names] for names, _ in answers]
    return overlap(found, best(reference, len(found[0])).tolist())
