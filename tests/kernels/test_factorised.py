"""The factorised score against the published formula."""

from __future__ import annotations

import pytest
import torch

from framesift.kernels.lanes import read_rows, write_rows
from framesift.kernels.topk_attention.factorised import FactorisedHead, score
from framesift.kernels.topk_attention.layout import HeadShape, pack_tables

from .heads import random_head

SHAPES = [
    (3, 5, 12, 64, 1, 4),
    (2, 7, 12, 96, 4, 12),
    (5, 2, 7, 32, 2, 3),
    (4, 3, 32, 64, 1, 31),
    (6, 9, 12, 512, 1, 4),
    (3, 4, 12, 512, 4, 1),
    (1, 1, 4, 64, 8, 4),
]


@pytest.mark.parametrize("spread", [0.0, 0.3, 2.0])
@pytest.mark.parametrize("shape", SHAPES, ids=lambda s: "Q{}-V{}-F{}-D{}-H{}-K{}".format(*s))
@torch.no_grad()
def test_float64_equals_the_published_formula(shape: tuple[int, ...], spread: float) -> None:
    queries, videos, frames, width, heads, top_k = shape
    torch.manual_seed(sum(shape))
    head = random_head(width, heads, top_k, spread).double()
    # Every epsilon differs and is large enough to show where it is left out.
    for norm, eps in ((head.layer_norm1, 0.3), (head.layer_norm2, 0.2), (head.layer_norm3, 0.1)):
        norm.eps = eps
    text = torch.randn(queries, width).double()
    clips = (torch.randn(videos, 1, width) + 0.4 * torch.randn(videos, frames, width)).double()
    folded = FactorisedHead(head, frames)
    vectors, tables = folded.encode_video(clips)
    assert vectors.shape == (videos, folded.shape.streams, frames, width)
    assert tables.shape == (videos, folded.shape.rows)
    scores, attention = score(*folded.encode_text(text), vectors, tables, folded.shape)
    want, weights = head(text, clips)
    torch.testing.assert_close(scores, want, atol=1e-12, rtol=0)
    torch.testing.assert_close(attention, weights, atol=1e-10, rtol=0)


@torch.no_grad()
def test_equal_frames_tie_and_the_earlier_is_kept() -> None:
    torch.manual_seed(0)
    head = random_head(64, 1, 2).double()
    clips = torch.randn(3, 1, 64).double().expand(3, 6, 64).contiguous()
    folded = FactorisedHead(head, 6)
    _, attention = score(*folded.encode_text(torch.randn(2, 64).double()), *folded.encode_video(clips), folded.shape)
    assert attention.tolist() == [[[0.5, 0.5, 0, 0, 0, 0]] * 3] * 2


@pytest.mark.parametrize("videos", [1, 15, 16, 17, 50])
def test_tables_come_back_from_their_blocks(videos: int) -> None:
    import numpy as np

    tables = np.random.default_rng(videos).standard_normal((videos, 7)).astype(np.float32)
    packed = pack_tables(tables)
    assert packed.shape == (-(-videos // 16), 7, 16)
    np.testing.assert_array_equal(read_rows(packed, np.arange(videos)), tables)
    assert not packed[-1, :, (videos - 1) % 16 + 1 :].any()
    apart = np.full_like(packed, np.nan)
    write_rows(apart, 0, tables[:5])
    write_rows(apart, len(tables[:5]), tables[5:])
    np.testing.assert_array_equal(read_rows(apart, np.arange(videos)), tables)


@pytest.mark.parametrize(
    ("sizes", "said"), [((12, 64, 13), "top_k is 13"), ((12, 64, 0), "top_k is 0"), ((12, 64, 4, 3), "3 heads")]
)
def test_sizes_that_do_not_go_together_are_refused(sizes: tuple[int, ...], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        HeadShape(*sizes)
