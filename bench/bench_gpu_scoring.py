"""Scoring on a CUDA device: the fused Triton kernel against the published formula, torch.compile and the floor.

    python -m framesift.bench.bench_gpu_scoring
    python -m framesift.bench.bench_gpu_scoring --queries 1 --videos 100000 --storage int8 --out results
    python -m framesift.bench.bench_gpu_scoring --tune

Results are compared with float64 first; a kernel that differs is not timed. Times are CUDA events around one call, with
caches flushed before it. The floor is the larger of the bytes that must move over the copy bandwidth and of the
operations over the matrix rate, both measured in the same run. Baselines that wouldn't fit in memory run on as many
videos as do, and their time is scaled to the gallery. ``--tune`` times other tiles than those of ``configs`` instead.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..export.bundle.engines.device import local_device
from ..kernels.topk_attention import factorised
from ..kernels.topk_attention.layout import LANES
from ..kernels.topk_attention.reference import TopKAttention
from .machine import machine as host
from .rows import RESULTS, Row, write
from .scorer_work import COMPONENT, FRAMES, SHAPE, TOP_K, WIDTH, work

STORAGE: dict[str, torch.dtype] = {name: getattr(torch, name) for name in COMPONENT}
# Scores lie in [-1, 1]; text vectors of many queries are rounded to the storage's 16 bits.
TOLERANCE = {"float16": 2e-3, "bfloat16": 1e-2, "int8": 2e-3, "float8_e4m3fn": 2e-3}
# Pairs that a baseline holds at once: published, a [pairs, D] tensor in float32 is 2 GiB then.
BASELINE_PAIRS = 1 << 20
CANDIDATES = {
    "few": [
        (2, 8, 32, 32, 4, 2),
        (2, 8, 32, 32, 4, 3),
        (2, 8, 32, 32, 4, 4),
        (2, 8, 32, 64, 4, 2),
        (2, 8, 32, 64, 4, 3),
    ],
    "some": [(1, 16, 32, 32, 4, 2), (1, 16, 32, 32, 4, 3), (1, 16, 32, 32, 4, 4), (1, 16, 32, 64, 4, 2)],
    "many": [
        (1, 64, 8, 32, 4, 3),
        (1, 64, 8, 32, 4, 4),
        (1, 64, 8, 64, 4, 2),
        (1, 64, 8, 64, 4, 3),
        (1, 128, 8, 64, 8, 2),
    ],
}


# Compiled once: its code serves all sizes.
_COMPILED = torch.compile(factorised.score)


@dataclass
class Case:
    """The arguments of ``launch.score`` but for the number of queries, and the head and vectors they came from."""

    head: TopKAttention
    folded: factorised.FactorisedHead
    frames: Tensor
    table: Tensor
    mean: Tensor | None
    raw: Tensor
    """Frame embeddings [v, F, D] of the first videos, for the baselines."""

    def text(self, queries: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Raw text embeddings [Q, D] and their logit vectors, readout vectors and scalars."""
        text = torch.randn(queries, WIDTH, device=self.frames.device)
        with torch.no_grad():
            logit, readout, scalars = self.folded.encode_text(text)
        return text, logit.contiguous(), readout.contiguous(), scalars.contiguous()


def random_head(device: torch.device) -> TopKAttention:
    """A head away from its identity initialisation."""
    head = TopKAttention(WIDTH, top_k=TOP_K).to(device).eval()
    for name, parameter in head.named_parameters():
        spread = 0.1 if "norm" in name or "bias" in name else 0.5 / WIDTH**0.5
        parameter.data += spread * torch.randn_like(parameter)
    return head


def quantise(streams: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """Frame vectors [v, 1, F, D] as residuals around the mean frame, scales [v, F] and means [v, D]."""
    mean = streams[:, 0].mean(1).half()
    residual = streams - mean[:, None, None].float()
    limit = 127.0 if dtype == torch.int8 else 448.0
    scale = residual.abs().amax(-1, keepdim=True).clamp_min(1e-12) / limit
    steps = residual / scale
    return (steps.round() if dtype == torch.int8 else steps).to(dtype), scale[:, 0, :, 0], mean


def gallery(videos: int, storage: str, device: torch.device, *, raw: int, step: int = 4096) -> Case:
    """A random gallery; the first ``raw`` videos' embeddings are kept too."""
    head = random_head(device)
    folded = factorised.FactorisedHead(head, FRAMES)
    dtype, quantised = STORAGE[storage], COMPONENT[storage] == 1
    rows = SHAPE.rows + FRAMES * quantised
    frames = torch.empty(videos, 1, FRAMES, WIDTH, dtype=dtype, device=device)
    table = torch.zeros(-(-videos // LANES), rows, LANES, device=device)
    mean = torch.empty(videos, WIDTH, dtype=torch.float16, device=device) if quantised else None
    kept = []
    for start in range(0, videos, step):
        count = min(step, videos - start)
        # frames of a video resemble one another
        some = torch.randn(count, 1, WIDTH, device=device) + 0.4 * torch.randn(count, FRAMES, WIDTH, device=device)
        if start < raw:
            kept.append(some[: raw - start])
        with torch.no_grad():
            streams, tables = folded.encode_video(some)
        if mean is None:
            frames[start : start + count] = streams.to(dtype)
        else:
            frames[start : start + count], scales, mean[start : start + count] = quantise(streams, dtype)
            tables = torch.cat((tables, scales), 1)
        blocks = -(-count // LANES)
        padded = torch.zeros(blocks * LANES, rows, device=device)
        padded[:count] = tables
        table[start // LANES : start // LANES + blocks] = padded.unflatten(0, (-1, LANES)).transpose(1, 2)
    return Case(head, folded, frames, table, mean, torch.cat(kept))


def exact(case: Case, u: Tensor, w: Tensor, tau: Tensor, videos: int) -> tuple[Tensor, Tensor]:
    """Scores of the first videos in float64 from what is stored, and whether the K-th logit is clearly apart [Q, v]."""
    x = case.frames[:videos].double()
    tables = case.table.transpose(1, 2).flatten(0, 1)[:videos].double()
    if case.mean is not None:
        x = x * tables[:, None, SHAPE.rows :, None] + case.mean[:videos, None, None].double()
    with torch.no_grad():
        scores, _ = factorised.score(u.double(), w.double(), tau.double(), x, tables[:, : SHAPE.rows], SHAPE)
    logits = torch.einsum("qd,vfd->qvf", u.double(), x[:, 0]).sort(dim=-1, descending=True).values
    return scores, logits[..., TOP_K - 1] - logits[..., TOP_K] > 2e-2


def milliseconds(call: Callable[[], Any], flush: Tensor, budget_ms: float = 1000.0) -> tuple[float, float, float]:
    """20th, 50th and 80th percentile of one call with cold caches."""
    for _ in range(3):
        call()
    times: list[float] = []
    while len(times) < 10 or (sum(times) < budget_ms and len(times) < 200):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        flush.zero_()
        start.record()
        call()
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end))
    p20, p50, p80 = torch.tensor(times).quantile(torch.tensor([0.2, 0.5, 0.8])).tolist()
    return p20, p50, p80


def device_limits(flush: Tensor) -> tuple[float, float]:
    """Measured: bytes read and written per second by a copy, operations per second of a float16 matrix product."""
    source = torch.empty(1 << 30, dtype=torch.uint8, device=flush.device)
    target = torch.empty_like(source)
    copy = milliseconds(lambda: target.copy_(source), flush)[1]
    a = torch.randn(8192, 8192, dtype=torch.float16, device=flush.device)
    product = milliseconds(lambda: a @ a, flush)[1]
    return 2e3 * source.numel() / copy, 2e3 * 8192**3 / product


def machine(device: torch.device) -> Row:
    """What a row of results was measured on."""
    gpu = local_device()
    return {
        **host(("torch", "triton")),
        "device": torch.cuda.get_device_name(device),
        "driver": gpu.driver if gpu else "",
        "cuda": torch.version.cuda,
    }


def measure(case: Case, storage: str, queries: int, flush: Tensor, limits: tuple[float, float]) -> list[dict[str, Any]]:
    """Check and time one number of queries: a row for the kernel's scores, its search, and every baseline."""
    from ..kernels.topk_attention import launch

    videos = len(case.frames)
    text, u, w, tau = case.text(queries)
    inputs = (u, w, tau, case.frames, case.table, case.mean)
    shape: dict[str, Any] = {"top_k": TOP_K, "heads": 1}
    few = min(videos, len(case.raw), 512)
    expected, clear = exact(case, u, w, tau, few)
    scores = launch.score(*inputs, **shape)
    error = (scores[:, :few] - expected)[clear].abs().max().item()
    found, rows = launch.search(*inputs, **shape, live=None, n=10)
    best = scores.sort(dim=1, descending=True, stable=True)
    if error > TOLERANCE[storage] or not torch.equal(rows.long(), best.indices[:, :10]):
        raise SystemExit(
            f"not timed: {storage}, {queries} queries, {videos} videos differ by {error:.2e}, or in the order"
        )
    del scores, found, rows, best

    held = max(1, min(videos, len(case.raw), BASELINE_PAIRS // queries))
    raw, frames = case.raw[:held], case.frames[:held]
    tables = case.table.transpose(1, 2).flatten(0, 1)[:held, : SHAPE.rows].contiguous()

    def published() -> None:
        case.head(text, raw)

    def compiled_factorised() -> None:
        with torch.autocast("cuda", dtype=torch.float16):
            _COMPILED(u, w, tau, frames.half(), tables, SHAPE)

    floor = 1e3 * work(queries, videos, storage).least_s(*limits)
    timed: list[tuple[str, Callable[[], Any], float]] = [
        ("kernel scores", lambda: launch.score(*inputs, **shape), 1.0),
        ("kernel search, 10 best", lambda: launch.search(*inputs, **shape, live=None, n=10), 1.0),
    ]
    # The baselines read frames as they are: how the kernel's are stored is nothing to them.
    if storage == "float16":
        timed.append(("published, eager", published, videos / held))
        timed.append(("factorised, torch.compile", compiled_factorised, videos / held))
    found_rows = []
    with torch.no_grad():
        for name, call, scale in timed:
            p20, p50, p80 = (scale * t for t in milliseconds(call, flush))
            row = {"group": "gpu scoring", "case": name, "storage": storage, "queries": queries, "videos": videos}
            row |= {"p20_ms": p20, "p50_ms": p50, "p80_ms": p80, "floor_ms": floor, "scaled_by": scale, "error": error}
            found_rows.append(row)
            print(f"{storage:14}{queries:5}{videos:9}  {name:28}{p50:10.3f} ms{p50 / floor:9.1f} x floor", flush=True)
    return found_rows


def tune(case: Case, storage: str, queries: int, flush: Tensor) -> None:
    """Print the times of the candidate tiles, none of them checked for spills."""
    from ..kernels.topk_attention import configs, launch

    major, minor = torch.cuda.get_device_capability(case.frames.device)
    key = max(a for a in configs.ARCHITECTURES if a <= 10 * major + minor), configs.regime(queries)
    _, u, w, tau = case.text(queries)
    for candidate in CANDIDATES[key[1]]:
        configs.TILES[key] = configs.Tile(*candidate)
        try:
            time = milliseconds(
                lambda: launch.score(u, w, tau, case.frames, case.table, case.mean, top_k=TOP_K, heads=1), flush
            )[1]
            print(f"{storage:14}{queries:5}  {configs.TILES[key]}  {time:.3f} ms", flush=True)
        except Exception as e:
            print(f"{storage:14}{queries:5}  {configs.TILES[key]}  {type(e).__name__}: {e}", flush=True)


def main(arguments: list[str] | None = None) -> int:
    """The command; see the module's docstring."""
    parser = argparse.ArgumentParser(
        prog="python -m framesift.bench.bench_gpu_scoring",
        description="Check and time the Triton kernels on a CUDA device.",
        epilog="example: python -m framesift.bench.bench_gpu_scoring --queries 1 256 --videos 100000 --storage float16",
    )
    parser.add_argument("--queries", type=int, nargs="+", default=[1, 16, 256])
    parser.add_argument("--videos", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--storage", nargs="+", choices=list(STORAGE), default=["float16", "int8"])
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the results")
    parser.add_argument("--tune", action="store_true", help="time other tiles instead, on the first gallery size")
    given = parser.parse_args(arguments)
    if not torch.cuda.is_available():
        print("no CUDA device: nothing to measure")
        return 0
    device = torch.device("cuda", torch.cuda.current_device())
    torch.manual_seed(0)
    flush = torch.empty(512 << 20, dtype=torch.uint8, device=device)
    here = machine(device)
    limits = device_limits(flush)
    print(f"{here['device']}: copies {limits[0] / 1e12:.2f} TB/s, multiplies {limits[1] / 1e12:.0f} TFLOP/s")
    limit = {"copy_bytes_per_s": limits[0], "matrix_flop_per_s": limits[1]}
    for storage in given.storage:
        for videos in given.videos[:1] if given.tune else given.videos:
            case = gallery(videos, storage, device, raw=min(videos, 16_384))
            for queries in given.queries:
                if given.tune:
                    tune(case, storage, queries, flush)
                    continue
                rows = measure(case, storage, queries, flush, limits)
                write("gpu_scoring", (row | limit | here for row in rows), given.out)
            del case
    return 0


if __name__ == "__main__":
    sys.exit(main())
