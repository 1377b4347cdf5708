"""Exact top-K attention scores on one CPU thread, in process CPU time, D = 512, F = 12, K = 4.

The baseline "eager" is the published formula as its authors wrote it, in PyTorch. Floors: for many queries the bare
matrix product of all text vectors with all frame vectors (4FD operations a pair, by the faster of PyTorch's and
numpy's BLAS); for one query reading the gallery's bytes once.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from framesift.bench.inputs.attention import drawn_frames, drawn_head
from framesift.kernels.topk_attention import cpu, native, quantise
from framesift.kernels.topk_attention.factorised import FactorisedHead
from framesift.kernels.topk_attention.layout import HeadShape, pack_tables
from framesift.kernels.topk_attention.operands import GalleryVectors, TextVectors
from framesift.kernels.topk_attention.reference import TopKAttention, topk_softmax

WIDTH, FRAMES, TOP_K = 512, 12, 4
pytestmark = pytest.mark.benchmark(timer=time.process_time)


@dataclass
class Case:
    """Random weights and correlated frames, as the eager model and as the scorer read them."""

    head: TopKAttention
    text: Tensor
    frames: Tensor
    shape: HeadShape
    vectors: TextVectors
    galleries: dict[str, GalleryVectors]
    small: TextVectors


@torch.no_grad()
def make(queries: int, videos: int) -> Case:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    head, frames = drawn_head(WIDTH, TOP_K), drawn_frames(videos, FRAMES, WIDTH)
    text = torch.randn(queries, WIDTH)
    folded = FactorisedHead(head, FRAMES)
    vectors = TextVectors(*(part.contiguous().numpy() for part in folded.encode_text(text)))
    parts = [folded.encode_video(some) for some in frames.split(256)]
    streams, tables = (torch.cat(part).numpy() for part in zip(*parts, strict=True))
    affine = quantise.fit(streams)
    packed = pack_tables(tables)
    galleries = {
        "float32": GalleryVectors(streams, packed),
        "float16": GalleryVectors(streams.astype(np.float16), packed),
        "int8": quantise.quantise(streams, tables, affine),
    }
    return Case(head, text, frames, folded.shape, vectors, galleries, quantise.fold(vectors, affine))


@torch.no_grad()
def eager(case: Case, block: int = 64) -> Tensor:
    """The published formula, a block of videos at a time as its authors evaluate it."""
    return torch.cat([case.head(case.text, some)[0] for some in case.frames.split(block)], dim=1)


@torch.no_grad()
def eager_cached(case: Case, keys: Tensor, values: Tensor, block: int = 256) -> Tensor:
    """The published formula with keys and projected values kept per video instead of made for every query."""
    head, attn = case.head, case.head.cross_attn
    query = attn.q_proj(head.layer_norm1(case.text)) / WIDTH**0.5
    unit = case.text / case.text.norm(dim=-1, keepdim=True)
    found = []
    for k, v in zip(keys.split(block), values.split(block), strict=True):
        weights = topk_softmax(torch.einsum("qd,vfd->qvf", query, k), TOP_K)
        y = head.layer_norm2(torch.einsum("qvf,vfd->qvd", weights, v) + attn.out_proj.bias)
        z = head.layer_norm3(y + head.linear_proj(y))
        found.append(torch.einsum("qd,qvd->qv", unit, z / z.norm(dim=-1, keepdim=True)))
    return torch.cat(found, dim=1)


@pytest.fixture(scope="module")
def many() -> Case:
    return make(1000, 1000)


@pytest.fixture(scope="module")
def one() -> Case:
    return make(1, 10_000)


def close(got: np.ndarray[Any, Any], want: np.ndarray[Any, Any], tolerance: float) -> None:
    """Speed counts only if the result is right; pairs that kept another frame are few."""
    assert (np.abs(got - want) > tolerance).mean() < 2e-3


MANY = "1000 queries, 1000 videos"


def bench_many_eager(many: Case, benchmark: Any, compared: Callable[..., None]) -> None:
    compared(benchmark, group=MANY, case="eager", baseline="eager")
    scores = benchmark.pedantic(eager, (many,), rounds=1)
    close(cpu.score(many.vectors, many.galleries["float32"], many.shape, threads=1), scores.numpy(), 5e-6)


@pytest.mark.parametrize("library", ["torch", "numpy"])
def bench_many_product(library: str, many: Case, benchmark: Any, compared: Callable[..., None]) -> None:
    compared(benchmark, group=MANY, case=f"bare product, {library}", baseline="eager")
    text = np.concatenate([many.vectors.logit, many.vectors.readout])
    frames = many.galleries["float32"].frames.reshape(-1, WIDTH)
    if library == "numpy":
        benchmark.pedantic(lambda: text @ frames.T, rounds=5, warmup_rounds=1)
    else:
        a, b = torch.from_numpy(text), torch.from_numpy(frames)
        benchmark.pedantic(lambda: a @ b.T, rounds=5, warmup_rounds=1)


@pytest.mark.parametrize("impl", ["native", "numpy"])
def bench_many_ours(impl: cpu.Implementation, many: Case, benchmark: Any, compared: Callable[..., None]) -> None:
    compared(benchmark, group=MANY, case=f"framesift, {impl}", baseline="eager")
    run = (many.vectors, many.galleries["float32"], many.shape)
    benchmark.pedantic(cpu.score, run, {"threads": 1, "impl": impl}, rounds=5, warmup_rounds=1)


ONE = "one query, 10,000 videos"


def bench_one_eager(one: Case, benchmark: Any, compared: Callable[..., None]) -> None:
    compared(benchmark, group=ONE, case="eager", baseline="eager")
    benchmark.pedantic(eager, (one,), rounds=3, warmup_rounds=1)


@torch.no_grad()
def bench_one_eager_cached(one: Case, benchmark: Any, compared: Callable[..., None]) -> None:
    compared(benchmark, group=ONE, case="eager, keys and values kept", baseline="eager")
    attn = one.head.cross_attn
    normed = one.head.layer_norm1(one.frames)
    keys, values = attn.k_proj(normed), attn.v_proj(normed) @ attn.out_proj.weight.T
    scores = benchmark.pedantic(eager_cached, (one, keys, values), rounds=5, warmup_rounds=1)
    close(scores.numpy(), cpu.score(one.vectors, one.galleries["float32"], one.shape), 5e-6)


def bench_one_read(one: Case, benchmark: Any, compared: Callable[..., None]) -> None:
    compared(benchmark, group=ONE, case="reading float32 once", baseline="eager")
    found = native.available(one.shape)
    assert found is not None
    gallery = one.galleries["float32"]
    for array in (gallery.frames, gallery.tables):
        found.framesift_read(array.ctypes.data, array.size)

    def read() -> None:
        for array in (gallery.frames, gallery.tables):
            found.framesift_read(array.ctypes.data, array.size)

    benchmark.pedantic(read, rounds=61, warmup_rounds=1)


@pytest.mark.parametrize("storage", ["float32", "float16", "int8"])
def bench_one_ours(storage: str, one: Case, benchmark: Any, compared: Callable[..., None]) -> None:
    compared(benchmark, group=ONE, case=f"framesift, {storage}", baseline="eager")
    text = one.small if storage == "int8" else one.vectors
    gallery = one.galleries[storage]
    benchmark.extra_info["bytes_per_video"] = gallery.nbytes // len(gallery)
    want = cpu.score(one.vectors, one.galleries["float32"], one.shape, impl="numpy")
    close(cpu.score(text, gallery, one.shape), want, {"float32": 5e-6, "float16": 2e-2, "int8": 5e-2}[storage])
    benchmark.pedantic(cpu.search, (text, gallery, one.shape, 10), {"threads": 1}, rounds=61, warmup_rounds=1)


@pytest.mark.benchmark(timer=time.perf_counter)
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("group", [MANY, ONE])
def bench_threads(
    group: str, threads: int, request: pytest.FixtureRequest, benchmark: Any, compared: Callable[..., None]
) -> None:
    """By wall clock: meaningful only where two cores are free."""
    case = request.getfixturevalue("many" if group == MANY else "one")
    compared(benchmark, group=f"{group}, wall clock", case=f"{threads} threads", baseline="1 threads")
    run = (case.vectors, case.galleries["float16"], case.shape, 10)
    benchmark.pedantic(cpu.search, run, {"threads": threads}, rounds=21, warmup_rounds=2)
