"""The operators on torch tensors: one node each, checked arguments, the CPU scorer's results."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from framesift.kernels.topk_attention.api import score, search

from .heads import problem

MADE = problem(5, 37, 12, 64, 1, 4)


def tensors() -> dict[str, Tensor]:
    gallery = MADE.gallery()
    names = ("logit", "readout", "scalars", "frames", "tables")
    arrays = (MADE.text.logit, MADE.text.readout, MADE.text.scalars, gallery.frames, gallery.tables)
    return {name: torch.from_numpy(array.copy()) for name, array in zip(names, arrays, strict=True)}


def test_scores_and_search_are_the_published_formulas() -> None:
    scores = score(**tensors(), top_k=4)
    np.testing.assert_allclose(scores.numpy(), MADE.scores, atol=2e-6)
    best, rows = search(**tensors(), n=7, top_k=4)
    np.testing.assert_array_equal(rows.numpy(), np.argsort(-scores.numpy(), axis=1, kind="stable")[:, :7])
    np.testing.assert_array_equal(best.numpy(), scores.gather(1, rows).numpy())


class Ranker(nn.Module):
    def forward(
        self, logit: Tensor, readout: Tensor, scalars: Tensor, frames: Tensor, tables: Tensor
    ) -> tuple[Tensor, Tensor]:
        ops = torch.ops.framesift
        scores = ops.topk_attention_scores(logit, readout, scalars, frames, tables, None, 4, 1)
        return scores, ops.topk_attention_search(logit, readout, scalars, frames, tables, None, None, 3, 4, 1)[1]


def test_export_and_compile_see_one_node_each() -> None:
    given = tuple(tensors().values())
    exported = torch.export.export(Ranker(), given)
    called = [str(node.target) for node in exported.graph.nodes if node.op == "call_function"]
    assert sorted(name for name in called if "framesift" in name) == [
        "framesift.topk_attention_scores.default",
        "framesift.topk_attention_search.default",
    ]
    want = Ranker()(*given)
    for got in (exported.module()(*given), torch.compile(Ranker(), backend="aot_eager", fullgraph=True)(*given)):
        for one, other in zip(got, want, strict=True):
            torch.testing.assert_close(one, other, atol=0, rtol=0)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"logit": lambda t: t.fill_(float("nan"))}, "logit holds NaN"),
        ({"frames": lambda t: t.fill_(float("inf"))}, "frames holds NaN"),
        ({"tables": lambda t: t.fill_(float("nan"))}, "tables holds NaN"),
        ({"frames": lambda t: t[:0]}, "at least one video"),
        ({"logit": lambda t: t[:0]}, "at least one query"),
        ({"readout": lambda t: t[:, :32]}, "readout vectors are float32"),
        ({"frames": lambda t: t.double()}, "frame vectors are float64"),
        ({"frames": lambda t: t.bfloat16()}, "frame vectors are bfloat16"),
        ({"frames": lambda t: t.to(torch.int8)}, "come with a mean"),
        ({"scalars": lambda t: t.double()}, "text scalars are float64"),
        ({"logit": lambda t: t.T.contiguous().T}, "logit vectors are not contiguous"),
        ({"tables": lambda t: t[:2]}, "need 3 blocks"),
        ({"frames": lambda t: t[:, :, :3].contiguous()}, "top_k is 4"),
        ({"scalars": lambda t: t.to("meta")}, "scalars lies on meta"),
    ],
)
def test_bad_arguments_are_refused_before_anything_runs(change, said: str) -> None:
    given = tensors()
    for name, edit in change.items():
        given[name] = edit(given[name])
    with pytest.raises(ValueError, match=said):
        score(**given, top_k=4)


def test_what_is_not_live_is_not_found() -> None:
    live = torch.from_numpy(np.random.default_rng(0).random(37) > 0.5)
    scores = score(**tensors(), top_k=4).masked_fill(~live, -torch.inf)
    _, rows = search(**tensors(), n=9, top_k=4, live=live)
    np.testing.assert_array_equal(rows.numpy(), np.argsort(-scores.numpy(), axis=1, kind="stable")[:, :9])
    with pytest.raises(ValueError, match="live is torch.uint8"):
        search(**tensors(), n=1, top_k=4, live=live.to(torch.uint8))
    with pytest.raises(ValueError, match="number of videos, 0"):
        search(**tensors(), n=1, top_k=4, live=torch.zeros(37, dtype=torch.bool))


@pytest.mark.parametrize("n", [0, 38])
def test_a_search_for_more_than_there_is_is_refused(n: int) -> None:
    with pytest.raises(ValueError, match=f"n is {n}"):
        search(**tensors(), n=n, top_k=4)
