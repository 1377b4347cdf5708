"""What an export says beforehand: what graphs weigh, hold and compute, and whether that is what exports took."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from framesift.export.bundle.ports import GRAPHS, TEXT_ENCODER
from framesift.export.encoders.clip import ARCHITECTURES
from framesift.export.expected import expected, expected_bytes
from framesift.export.footprint import Footprint, footprint, footprints
from framesift.export.systems.examples import examples, small_system
from framesift.export.systems.registry import card_of
from framesift.export.systems.unfilled import Unfilled

from ..small_systems import small_bundle

# Peaks in GB of exports of models of the published sizes with random weights, on a machine with two cores.
MEASURED = [
    ("dong2026", None, 2.3),
    ("clip4clip", ARCHITECTURES["ViT-L/14"], 5.35),
    ("clipbert", None, 2.7),
    ("mmt", None, 2.22),
    ("howto100m", None, 3.4),
]


@pytest.mark.parametrize("name", examples())
def test_every_systems_graphs_run_without_memory(name: str) -> None:
    found = footprints(small_system(name))
    assert tuple(found) == GRAPHS
    assert all(graph.steps > 0 and graph.operations >= 0 for graph in found.values())
    assert found[TEXT_ENCODER].weights > 0


def test_the_memory_is_told_in_words() -> None:
    assert "GB of memory" in expected(small_system("xclip"))


def test_weights_are_those_of_the_written_graph(bundles: Path) -> None:
    bundle, found = small_bundle("howto100m", bundles), footprints(small_system("howto100m"))
    for name in GRAPHS:
        graph = onnx.load(str(bundle.graph(name))).graph
        stored = sum(
            int(np.prod(tensor.dims)) for tensor in graph.initializer if tensor.data_type == onnx.TensorProto.FLOAT
        )
        assert abs(stored - found[name].weights) <= 0.01 * stored + 8


class _Chain(nn.Module):
    """Two products one after the other, of which the first's result is gone when the second's is made."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.unread = nn.Linear(4, 100), nn.Linear(100, 50), nn.Linear(9, 9)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x).relu())


def test_what_is_held_and_computed_is_counted() -> None:
    with torch.no_grad(), torch.device("meta"):
        found = footprint(_Chain(), [torch.empty(10, 4)])
    # A ReLU is made beside what it is of, and a product takes its weights turned around.
    assert found == Footprint(4 * 100 + 100 + 100 * 50 + 50, 2 * 10 * 100 * 4, 0, 2 * 10 * (4 * 100 + 100 * 50), 5)


@pytest.mark.parametrize(
    ("name", "sizes", "measured"),
    [MEASURED[0], *(pytest.param(*each, marks=pytest.mark.slow) for each in MEASURED[1:])],
    ids=lambda value: str(value)[:10],
)
def test_the_memory_that_is_expected_was_measured(name: str, sizes: Any, measured: float) -> None:
    card = card_of(name)
    with Unfilled():
        made = card.model(sizes or card.sizes, {}).eval()
    weights = sum(parameter.numel() for parameter in made.parameters())
    assert expected_bytes(weights, footprints(made)) / 1e9 == pytest.approx(measured, rel=0.25)
