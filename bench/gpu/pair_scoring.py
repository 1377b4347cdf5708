"""The kernels of plain vectors on a device: compared with float64, then timed beside ceilings and formulas."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple
from typing import Any, get_args
from unittest import mock

import torch

from ...export.bundle.errors import EngineError
from ...kernels.device.best import capability
from ...kernels.device.pair_plan import PAIR_CANDIDATES, PAIR_OWN, PAIR_TILES, Name, regime_of
from ...kernels.device.pair_scan import DeviceScan
from ...kernels.device.tile import Tile, row_of
from ..schema.gpu import Built, GpuPairs, TileSizes
from .correctness import poisoned
from .pair_gallery import PairCase, Texts, pair_work
from .scoring import BEST, MOST_SCALED, SCORES, SEARCH, Limits
from .sizes import Sizes
from .timed import Way, timed
from .timing import milliseconds, optimised, replayed
from .variants import code

# Over the largest score: texts of many queries are rounded to 16 bits, which softmaxes sharpen a hundredfold.
TOLERANCE = {"dot": 5e-4, "frame_softmax": 5e-4, "token_frame": 1e-3, "multi_grained": 2e-3}
# How many videos are compared with float64, at most.
_COMPARED = 128
_LONG, _BUDGET_MS = 33, 300
# What a baseline may hold.
_BASELINE_BYTES = 8 << 30
COMPILED, EAGER = "formula, max-autotune", "published, eager"


def check_scorer(scorer: str, device: torch.device, videos: int, queries: Sequence[int]) -> float:
    """The largest error of a scorer's kernels over the largest score, over all numbers of queries.

    Raises:
        EngineError: it is more than allowed, something was not written, or the best are others than a stable sort of
            the scores has.
    """
    torch.manual_seed(1000)
    case = PairCase.drawn(scorer, videos, device).with_ties()
    return max(_check(case, case.texts(count), count) for count in queries)


def _check(case: PairCase, texts: Texts, queries: int) -> float:
    told = f"{case.scorer}, {queries} texts"
    few = min(len(case), _COMPARED)
    expected = case.formula(texts, few, torch.float64)()
    scan = case.scan(texts)
    with poisoned():
        scores = scan.score()
    if scores.isnan().any():
        raise EngineError(f"{told}: {int(scores.isnan().sum())} scores were not written, or are NaN")
    error = ((scores[:, :few] - expected).abs().max() / expected.abs().max()).item()
    if not error <= TOLERANCE[case.scorer]:
        raise EngineError(f"{told}: scores are off by {error:.1e} of the largest")
    dead = torch.rand(len(case), device=scores.device) < 0.3
    for live, n in ((None, BEST), (~dead, BEST), (~dead, _LONG)):
        n = min(n, len(case) if live is None else int(live.sum()))
        left = scores if live is None else scores.masked_fill(~live, -torch.inf)
        best = left.sort(dim=1, descending=True, stable=True)
        with poisoned():
            found, rows = scan.search(n, live=live)
        if not torch.equal(rows, best.indices[:, :n]) or not torch.equal(found, best.values[:, :n]):
            raise EngineError(f"{told}: the {n} best videos are not those of the scores")
    return error


def built(scan: DeviceScan) -> Built:
    """The kernel that reads most of a scan's bytes, as the Triton compiler made it."""
    out = torch.empty(scan.sizes["Q"], scan.sizes["V"], device=scan.device)
    made = scan.start(slice(0, scan.sizes["V"]), {"OUT": out, "LIVE": None, "LARGEST": None})
    return code(made, TileSizes(*astuple(scan.how.tile)))


def measure(
    case: PairCase,
    queries: int,
    flush: torch.Tensor,
    limits: Limits,
    error: float,
    cases: Sequence[str],
    failed: Callable[[str], None],
) -> Iterator[GpuPairs]:
    """Time a scorer that is right: a row for each of ``cases`` that can be run.

    Args:
        cases: some of ``scoring.CASES``; the baselines are the formula in float32.
        failed: is told why one can't be run.
    """
    texts = case.texts(queries)
    scan, videos = case.scan(texts), len(case)
    needed = pair_work(case.scorer, queries, videos)
    bytes_ms, products_ms = 1e3 * needed.bytes / limits.copy, 1e3 * needed.operations / limits.matrix
    ways: list[Way] = []
    if "kernel" in cases:
        code_of = built(scan)
        ways += [Way(SCORES, scan.score, built=code_of), Way(SEARCH, lambda: scan.search(BEST), built=code_of)]
    if "eager" in cases or "compiled" in cases:
        held = max(1, min(videos, _BASELINE_BYTES // (4 * (case.floats * queries + 8 * case.frames[0].numel() + 1))))
        formula = case.formula(texts, held, torch.float32)
        if "eager" in cases:
            ways.append(Way(EAGER, formula, videos / held))
        if "compiled" in cases and videos / held <= MOST_SCALED:
            ways.append(Way(COMPILED, _compiled(formula, flush.device), videos / held))
    told = f"{case.scorer}, {queries} texts"
    for times in timed(ways, flush, lambda wrong: failed(f"{told}, {wrong}"), (_BUDGET_MS, _BUDGET_MS)):
        yield GpuPairs(
            **times,
            scorer=case.scorer,
            queries=queries,
            videos=videos,
            floor_ms=max(bytes_ms, products_ms),
            error=error,
            copy_bytes_per_s=limits.copy,
            matrix_flop_per_s=limits.matrix,
            ceiling="bytes" if bytes_ms > products_ms else "products",
        )


def measure_candidate(
    case: PairCase, queries: int, tile: Tile, flush: torch.Tensor, limits: Limits, sizes: Sizes
) -> GpuPairs:
    """The row of a tile that nothing takes yet: its time, or why there is none."""
    needed = pair_work(case.scorer, queries, len(case))
    error = p50 = graph = made = None
    failure = ""
    try:
        with taking_tile(case.scorer, queries, tile, flush.device), torch.no_grad():
            error = check_scorer(case.scorer, flush.device, sizes.pairs_checked, (queries,))
            scan = case.scan(case.texts(queries))
            made = built(scan)
            p50 = milliseconds(scan.score, flush, _BUDGET_MS)[1]
            graph = replayed(scan.score, flush, _BUDGET_MS)
    # One candidate's failure must not end the run of the others.
    except Exception as wrong:
        failure = f"{type(wrong).__name__}: {wrong}"[:400]
    return GpuPairs(
        scorer=case.scorer,
        case=f"candidate scores, {tile.kernel}",
        queries=queries,
        videos=len(case),
        p50_ms=p50,
        floor_ms=1e3 * needed.least_s(limits.copy, limits.matrix),
        error=error,
        graph_ms=graph,
        failure=failure,
        built=made,
    )


def waiting_tiles(scorer: str, queries: int, arch: int) -> tuple[Tile, ...]:
    """The candidates for so many texts."""
    name = _named(scorer)
    return PAIR_CANDIDATES.get((row_of(PAIR_TILES, arch), name, regime_of(name, queries)), ())


@contextmanager
def taking_tile(scorer: str, queries: int, tile: Tile | None, device: torch.device) -> Iterator[None]:
    """While it is open this tile is taken where it fits; without one, the tables'."""
    name, row = _named(scorer), row_of(PAIR_TILES, capability(device))
    own = {} if tile is None else {(row, name, regime_of(name, queries)): tile}
    with mock.patch.dict(PAIR_OWN, own):
        yield


def _named(scorer: str) -> Name:
    return next(name for name in get_args(Name) if name == scorer)


def line(row: GpuPairs) -> str:
    """One row as text."""
    told = f"{row.scorer:14}{row.queries:5}{row.videos:9}  {row.case:28}"
    if row.p50_ms is None or row.floor_ms is None:
        return f"{told} not timed: {row.failure}"
    graph = "" if row.graph_ms is None else f", graph {row.graph_ms:.3f}"
    return f"{told}{row.p50_ms:10.3f} ms{graph}{row.p50_ms / row.floor_ms:9.1f} x floor"


def _compiled(formula: Callable[[], torch.Tensor], device: torch.device) -> Callable[[], Any]:
    """With CUDA graphs, and products chosen among all that its authors' compiler knows."""
    torch._dynamo.reset()
    run = optimised(formula, "max-autotune", device, whole=True)

    def call() -> None:
        torch.compiler.cudagraph_mark_step_begin()
        run()

    return call
