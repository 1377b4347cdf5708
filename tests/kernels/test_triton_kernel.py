"""The Triton kernels, interpreted or on a GPU: against float64, with ties, odd shapes and every storage type."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor

from framesift.kernels.topk_attention.factorised import FactorisedHead
from framesift.kernels.topk_attention.layout import LANES, pack_tables
from framesift.kernels.topk_attention.reference import TopKAttention, topk_softmax

Run = Callable[..., Any]
ROUNDED = {torch.float32: torch.float32, torch.bfloat16: torch.bfloat16}
# float32 accumulation over 512 columns, then a score of about 1
TOLERANCE = 2e-5
# two halves of bfloat16 keep 17 bits of a text vector
TOLERANCE_BFLOAT16 = 2e-4


@dataclass
class Problem:
    """Random arguments of ``launch.score``, and what they mean in float64."""

    u: Tensor
    w: Tensor
    tau: Tensor
    frames: Tensor
    scales: Tensor | None
    mean: Tensor | None
    forms: Tensor
    vectors: Tensor
    top_k: int
    heads: int

    @property
    def table(self) -> Tensor:
        """[ceil(V / 16), R, 16]; lanes beyond V are zero."""
        videos, n = len(self.frames), self.vectors.shape[-1]
        i, j = torch.triu_indices(n, n)
        entries = self.forms[..., i, j] * torch.where(i == j, 1, 2)
        parts = [entries.permute(1, 2, 0).reshape(videos, -1), self.vectors.permute(1, 2, 0).reshape(videos, -1)]
        if self.scales is not None:
            parts.append(self.scales.reshape(videos, -1))
        rows = torch.cat(parts, 1)
        padded = torch.zeros(-(-videos // LANES) * LANES, rows.shape[1])
        padded[:videos] = rows
        return padded.reshape(-1, LANES, rows.shape[1]).transpose(1, 2).contiguous()

    def arguments(self) -> dict[str, Any]:
        names = ("u", "w", "tau", "frames", "table", "mean", "top_k", "heads")
        return {name: getattr(self, name) for name in names}

    def reference(self) -> tuple[Tensor, Tensor]:
        """Scores [Q, V] in float64 and how far apart the K-th and the next logit are, [Q, V]."""
        x = self.frames.double()
        if self.scales is not None and self.mean is not None:
            sizes = self.scales.double().transpose(2, 3)[..., None]
            x = (x.unflatten(-1, (self.heads, -1)) * sizes).flatten(-2) + self.mean.double()[:, None, None]
        x = x.unflatten(-1, (self.heads, -1))
        u, w = (t.double().unflatten(-1, (self.heads, -1)) for t in (self.u, self.w))
        logits = torch.einsum("qhd,vfhd->qvhf", u, x[:, 0])
        readouts = torch.einsum("qhd,vfhd->qvhf", w, x[:, -1])
        a = topk_softmax(logits, self.top_k)
        total, a = (a * readouts).sum((2, 3)), a.flatten(2)
        A, B, E = torch.einsum("qvi,mvij,qvj->mqv", a, self.forms.double(), a)
        c2, c3, c4 = torch.einsum("qvi,mvi->mqv", a, self.vectors.double())
        tau0, tau1, tau2, tau3 = self.tau.double().T[..., None]
        sigma = A.sqrt()
        r = (B + sigma * c2).sqrt()
        score = (total + tau0 + sigma * tau1 + r * tau2) / (E + sigma * c3 + r * (c4 + tau3 * sigma)).sqrt()
        ordered = logits.sort(dim=-1, descending=True).values
        k = self.top_k
        gap = (ordered[..., k - 1] - ordered[..., k]).amin(-1) if k < x.shape[2] else torch.full_like(score, torch.inf)
        return score, gap


def problem(
    q: int, v: int, f: int, d: int, h: int, k: int, storage: torch.dtype = torch.float16, exact: bool = False
) -> Problem:
    """Fresh random data. ``exact``: small integers over 8 and repeated frames, so that equal logits are equal bits."""
    s, n = 1 if h == 1 else 2, h * f
    scales = mean = None
    if exact:
        u, w = (torch.randint(-2, 3, (q, d)) / 8 for _ in range(2))
        frames = torch.randint(-1, 2, (v, s, f, d)) / 8
        frames[:, :, f // 2 :] = frames[:, :, : f - f // 2]
    else:
        u, w = torch.randn(q, d) * (3 / d**0.5), torch.randn(q, d) / d**0.5
        frames = torch.randn(v, s, f, d)
    if storage == torch.int8:
        frames = (frames * 30).round().clamp(-127, 127)
    if storage in (torch.int8, torch.float8_e4m3fn):
        scales = torch.rand(v, s, h, f) * 0.02 + 0.02 if storage == torch.int8 else torch.rand(v, s, h, f) + 0.5
        mean = torch.randn(v, d).half()
    # gram matrices of vectors with a common part, as frames of a video have
    m = torch.randn(3, v, n, 16, dtype=torch.float64) * 0.3 + torch.randn(3, v, 1, 16, dtype=torch.float64)
    return Problem(
        u=u,
        w=w,
        # a large negative 2 kappa would make the squared norm negative, which no checkpoint can
        tau=torch.randn(q, 4) * torch.tensor([0.2, 0.2, 0.2, 0.03]),
        frames=frames.to(storage),
        scales=scales,
        mean=mean,
        forms=(m @ m.mT / 16).float(),
        vectors=torch.rand(3, v, n) * 0.1,
        top_k=k,
        heads=h,
    )


def as_read(p: Problem) -> Problem:
    """With more than 8 queries the kernel reads text vectors rounded to the products' 16 bits."""
    if len(p.u) <= 8:
        return p
    dtype = ROUNDED.get(p.frames.dtype, torch.float16)
    return replace(p, u=p.u.to(dtype).float(), w=p.w.to(dtype).float())


def name(shape: tuple[Any, ...]) -> str:
    return "Q{}-V{}-F{}-D{}-H{}-K{}-{}".format(*shape[:6], str(shape[6]).removeprefix("torch."))


SHAPES = [
    (1, 1, 4, 64, 1, 1, torch.float16),
    (1, 37, 12, 512, 1, 4, torch.float16),
    (3, 33, 7, 192, 1, 3, torch.float16),
    (8, 16, 12, 64, 1, 11, torch.float16),
    (9, 35, 12, 192, 1, 4, torch.float16),
    (17, 9, 8, 64, 1, 8, torch.float16),
    (66, 21, 12, 64, 1, 4, torch.float16),
    (2, 5, 16, 64, 1, 5, torch.float16),
    (1, 3, 32, 64, 1, 9, torch.float16),
    (2, 18, 12, 192, 1, 4, torch.bfloat16),
    (19, 5, 12, 64, 1, 4, torch.bfloat16),
    (1, 33, 12, 512, 1, 4, torch.int8),
    (20, 9, 7, 64, 1, 2, torch.int8),
    (3, 18, 12, 64, 1, 4, torch.float8_e4m3fn),
    (18, 7, 5, 192, 1, 4, torch.float8_e4m3fn),
    (2, 18, 12, 64, 1, 4, torch.float32),
    (3, 17, 4, 64, 2, 3, torch.float16),
    (17, 5, 4, 64, 4, 2, torch.float16),
    (2, 9, 4, 64, 8, 4, torch.float16),
    (2, 9, 5, 192, 2, 2, torch.int8),
]


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


@pytest.mark.parametrize("k", range(1, 13))
def test_keeps_every_number_of_frames(interpreted: Run, k: int) -> None:
    p = problem(2, 9, 12, 64, 1, k)
    expected, gap = p.reference()
    got = interpreted("score", **p.arguments())
    torch.testing.assert_close(got[gap > 1e-5].double(), expected[gap > 1e-5], rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("q", [3, 17])
@pytest.mark.parametrize(("f", "k"), [(12, 1), (12, 4), (12, 5), (12, 11), (7, 3), (16, 6)])
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
SEARCHES = [
    ("search", 1, 1, 1, False),
    ("search", 2, 270, 1, True),
    ("search", 3, 200, 2, False),
    ("search", 9, 20, 33, True),
    ("search", 2, 150, 140, True),
    ("search_in_parts", 2, 270, 2, True),
    ("search_in_parts", 2, 150, 140, False),
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
