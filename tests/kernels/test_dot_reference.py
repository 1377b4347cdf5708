"""The dot product against a loop over pairs."""

from __future__ import annotations

import pytest
import torch

from framesift.kernels.dot.reference import dot


@pytest.mark.parametrize(
    "shape", [(1, 1, 1), (3, 5, 7), (17, 2, 33), (5, 31, 512)], ids=lambda s: "Q{}-V{}-D{}".format(*s)
)
def test_equals_a_loop_over_pairs(shape: tuple[int, int, int]) -> None:
    queries, videos, width = shape
    torch.manual_seed(sum(shape))
    text, video = torch.randn(queries, width).double(), torch.randn(videos, width).double()
    scores = dot(text, video)
    for q in range(queries):
        for v in range(videos):
            assert scores[q, v] == pytest.approx(
                sum(float(a) * float(b) for a, b in zip(text[q], video[v], strict=True))
            )


def test_a_pair_alone_and_a_slice_score_as_in_the_batch() -> None:
    text, video = torch.randn(6, 65).double(), torch.randn(9, 65).double()
    whole = dot(text, video)
    torch.testing.assert_close(dot(text[2:5], video[3:7]), whole[2:5, 3:7], atol=1e-13, rtol=0)
    for q in range(6):
        for v in range(9):
            torch.testing.assert_close(dot(text[q : q + 1], video[v : v + 1])[0, 0], whole[q, v], atol=1e-13, rtol=0)


def test_records_of_different_widths_are_refused() -> None:
    with pytest.raises(ValueError, match="texts are 64 wide and videos 512"):
        dot(torch.ones(2, 64), torch.ones(3, 512))
