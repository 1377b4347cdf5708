"""The Triton kernels, interpreted or on a GPU: against float64, with ties, odd shapes and every storage type."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from framesift.kernels.topk_attention.factorised import FactorisedHead
from framesift.kernels.topk_attention.layout import pack_tables
from framesift.kernels.topk_attention.reference import TopKAttention

from .problems import TOLERANCE, TOLERANCE_BFLOAT16, as_read, name, problem

Run = Callable[..., Any]
# Every storage, every regime of queries, and more heads than one.
USUAL = [
    (1, 1, 4, 64, 1, 1, torch.float16),
    (8, 16, 12, 64, 1, 11, torch.float16),
    (17, 9, 8, 64, 1, 8, torch.float16),
    (66, 21, 12, 64, 1, 4, torch.float16),
    (19, 5, 12, 64, 1, 4, torch.bfloat16),
    (20, 9, 7, 64, 1, 2, torch.int8),
    (3, 18, 12, 64, 1, 4, torch.float8_e4m3fn),
    (2, 18, 12, 64, 1, 4, torch.float32),
    (2, 9, 4, 64, 8, 4, torch.float16),
    (2, 9, 5, 192, 2, 2, torch.int8),
]
OTHERS = [
    (1, 37, 12, 512, 1, 4, torch.float16),
    (3, 33, 7, 192, 1, 3, torch.float16),
    (9, 35, 12, 192, 1, 4, torch.float16),
    (2, 5, 16, 64, 1, 5, torch.float16),
    (1, 3, 32, 64, 1, 9, torch.float16),
    (2, 18, 12, 192, 1, 4, torch.bfloat16),
    (1, 33, 12, 512, 1, 4, torch.int8),
    (18, 7, 5, 192, 1, 4, torch.float8_e4m3fn),
    (3, 17, 4, 64, 2, 3, torch.float16),
    (17, 5, 4, 64, 4, 2, torch.float16),
]
SHAPES = [*USUAL, *(pytest.param(shape, marks=pytest.mark.slow) for shape in OTHERS)]


@pytest.mark.parametrize("shape", SHAPES, ids=name)
def test_equals_the_formula_in_float64(interpreted: Run, shape: tuple[Any, ...]) -> None:
    p = as_read(problem(*shape))
    expected, gap = p.reference()
    got = interpreted("score", **p.arguments())
    assert got.dtype == torch.float32
    clear = gap > (1e-3 if p.frames.dtype == torch.bfloat16 else 1e-5)
    assert clear.double().mean() > 0.9
    assert not got.isnan().any()
    tolerance = TOLERANCE_BFLOAT16 if p.frames.dtype == torch.bfloat16 else TOLERANCE
    torch.testing.assert_close(got[clear].double(), expected[clear], rtol=0, atol=tolerance)


# By the bulk copy engine, whose interpreter is the descriptors': (tile, problem).
BULK = [
    ((2, 8, 16, 64, 4, 3), (3, 37, 12, 64, 1, 4, torch.float16)),
    ((1, 16, 16, 64, 4, 3), (17, 5, 12, 128, 1, 4, torch.float16)),
    ((2, 8, 8, 64, 4, 3), (1, 9, 16, 64, 1, 16, torch.bfloat16)),
    ((2, 8, 16, 64, 4, 3), (2, 17, 24, 64, 1, 5, torch.float16)),
]


@pytest.mark.parametrize(("tile", "shape"), BULK, ids=lambda x: name(x) if len(x) == 7 else "tile")
def test_copied_in_bulk_it_equals_the_formula_too(
    interpreted: Run, tile: tuple[int, ...], shape: tuple[Any, ...]
) -> None:
    p = as_read(problem(*shape))
    expected, gap = p.reference()
    got = interpreted("score_by", row=[*tile, "bulk"], **p.arguments())
    clear = gap > (1e-3 if p.frames.dtype == torch.bfloat16 else 1e-5)
    assert not got.isnan().any()
    tolerance = TOLERANCE_BFLOAT16 if p.frames.dtype == torch.bfloat16 else TOLERANCE
    torch.testing.assert_close(got[clear].double(), expected[clear], rtol=0, atol=tolerance)


def test_copied_in_bulk_ties_fall_as_elsewhere(interpreted: Run) -> None:
    p = problem(3, 19, 12, 64, 1, 5, exact=True)
    expected, gap = p.reference()
    assert (gap == 0).any()
    row = [2, 8, 16, 64, 4, 3, "bulk"]
    got = interpreted("score_by", row=row, **p.arguments())
    torch.testing.assert_close(got.double(), expected, rtol=0, atol=TOLERANCE)
    found, rows = interpreted("search_by", row=row, **p.arguments(), live=None, n=19)
    best = got.sort(dim=1, descending=True, stable=True)
    assert torch.equal(rows.long(), best.indices)
    assert torch.equal(found, best.values)


@pytest.mark.parametrize("k", [pytest.param(k, marks=[pytest.mark.slow] * (k not in (2, 7, 12))) for k in range(1, 13)])
def test_keeps_every_number_of_frames(interpreted: Run, k: int) -> None:
    p = problem(2, 9, 12, 64, 1, k)
    expected, gap = p.reference()
    got = interpreted("score", **p.arguments())
    torch.testing.assert_close(got[gap > 1e-5].double(), expected[gap > 1e-5], rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("q", [3, 17])
@pytest.mark.parametrize(
    ("f", "k"),
    [(12, 4), (7, 3), *(pytest.param(*each, marks=pytest.mark.slow) for each in [(12, 1), (12, 5), (12, 11), (16, 6)])],
)
def test_of_equal_logits_the_earlier_frame_is_kept(interpreted: Run, q: int, f: int, k: int) -> None:
    p = problem(q, 19, f, 64, 1, k, exact=True)
    expected, gap = p.reference()
    assert (gap == 0).any()
    torch.testing.assert_close(interpreted("score", **p.arguments()).double(), expected, rtol=0, atol=TOLERANCE)


def test_all_frames_equal_keeps_the_first_ones(interpreted: Run) -> None:
    p = problem(2, 3, 12, 64, 1, 4)
    p = replace(p, u=torch.zeros_like(p.u))
    expected, _ = p.reference()
    torch.testing.assert_close(interpreted("score", **p.arguments()).double(), expected, rtol=0, atol=TOLERANCE)


def test_a_slice_of_the_gallery_scores_as_in_the_whole(interpreted: Run) -> None:
    p = problem(2, 50, 12, 64, 1, 4)
    whole = interpreted("score", **p.arguments())
    part = replace(p, frames=p.frames[32:], forms=p.forms[:, 32:], vectors=p.vectors[:, 32:])
    assert torch.equal(interpreted("score", **part.arguments()), whole[:, 32:])


def test_videos_without_any_norm_score_finitely(interpreted: Run) -> None:
    p = problem(2, 3, 12, 64, 1, 4)
    p = replace(p, forms=torch.zeros_like(p.forms), vectors=torch.zeros_like(p.vectors))
    assert interpreted("score", **p.arguments()).isfinite().all()


def test_float32_text_vectors_count_in_full_with_few_queries(interpreted: Run) -> None:
    p = problem(4, 9, 12, 512, 1, 12)
    expected, _ = p.reference()
    few = (interpreted("score", **p.arguments()) - expected).abs().max()
    rounded, _ = replace(p, u=p.u.half().float(), w=p.w.half().float()).reference()
    assert few < 0.05 * (rounded - expected).abs().max()


# Groups are of 128 videos; lists of more than 128 are sorted by torch. A part is one group.
LONG = [
    ("search", 2, 270, 1, True),
    ("search", 3, 200, 2, False),
    ("search", 9, 20, 33, True),
    ("search", 2, 150, 140, True),
    ("search_in_parts", 2, 270, 2, True),
    ("search_in_parts", 2, 150, 140, False),
]
SEARCHES = [
    ("search", 1, 1, 1, False),
    ("search", 1, 150, 140, True),
    ("search_in_parts", 1, 150, 2, True),
    *(pytest.param(*each, marks=pytest.mark.slow) for each in LONG),
]


@pytest.mark.parametrize(("function", "q", "v", "n", "dead"), SEARCHES)
def test_search_equals_a_stable_sort_of_the_scores(
    interpreted: Run, function: str, q: int, v: int, n: int, dead: bool
) -> None:
    # Exact products: two equal videos must score alike whatever order a matrix product sums in.
    p = problem(q, v, 4, 64, 1, 2, exact=True)
    half = v // 2
    for x in (p.frames, p.forms.transpose(0, 1), p.vectors.transpose(0, 1)):
        x[half : 2 * half] = x[:half].clone()
    live = (torch.rand(v) < 0.6).to(torch.uint8) if dead else None
    scores = interpreted("score", **p.arguments())
    scores[:, half : 2 * half] = scores[:, :half]
    if live is not None:
        scores[:, live == 0] = -torch.inf
    expected = scores.sort(dim=1, descending=True, stable=True)
    found, rows = interpreted(function, **p.arguments(), live=live, n=n)
    count = v if live is None else int(live.sum())
    some = min(n, count)
    assert rows.dtype == torch.int32
    assert torch.equal(rows[:, :some].long(), expected.indices[:, :some])
    assert torch.equal(found[:, :some], expected.values[:, :some])
    assert (rows[:, some:] == -1).all()
    assert (found[:, some:] == -torch.inf).all()


def test_an_empty_gallery_has_no_scores(interpreted: Run) -> None:
    p = problem(2, 1, 4, 64, 1, 2)
    empty = {**p.arguments(), "frames": p.frames[:0], "table": p.table[:0]}
    assert interpreted("score", **empty).shape == (2, 0)
    assert (interpreted("search", **empty, live=None, n=3)[1] == -1).all()


@pytest.mark.skipif(torch.cuda.is_available(), reason="the interpreter's own check, which no GPU has")
def test_reading_past_a_tensor_is_noticed(interpreted: Run) -> None:
    p = problem(1, 20, 4, 64, 1, 2)
    with pytest.raises(RuntimeError, match="out of bounds"):
        interpreted("score", **{**p.arguments(), "table": p.table[:1].clone()})


@pytest.mark.parametrize("heads", [1, 2])
def test_equals_the_published_formula(interpreted: Run, heads: int) -> None:
    width, frames, top_k = 64, 5, 3
    # Of random frames two may lie so close that rounding keeps the other one.
    torch.manual_seed(heads)
    head = TopKAttention(width, heads=heads, top_k=top_k).double()
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    folded = FactorisedHead(head, frames)
    text, videos = torch.randn(3, width).double(), torch.randn(19, frames, width).double()
    with torch.no_grad():
        expected, _ = head(text, videos)
        u, w, tau = (x.float().contiguous() for x in folded.encode_text(text))
        streams, tables = folded.encode_video(videos)
    table = torch.from_numpy(pack_tables(tables.numpy()))
    got = interpreted(
        "score", u=u, w=w, tau=tau, frames=streams.float(), table=table, mean=None, top_k=top_k, heads=heads
    )
    torch.testing.assert_close(got.double(), expected, rtol=0, atol=1e-4)
