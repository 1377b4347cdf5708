"""Galleries on GPUs, interpreted: int8 finds what float16 does, to the bit, on one device or more.

The driver is a stand-in whose memory is this machine's and whose kernels the interpreter runs: what is sent, how it
lies there, what each launch is given, and what kernels read and write are as on a GPU. How a GPU rounds is not.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from framesift.kernels.topk_attention.certified.encode import encode
from framesift.kernels.topk_attention.certified.turn import turned
from framesift.kernels.topk_attention.layout import pack_tables

from .test_certified import Made
from .test_certified_bound import Case

pytest.importorskip("triton")
Run = Callable[..., Any]
VIDEOS = 60


@functools.cache
def made(frames: int, width: int, top: int, videos: int = VIDEOS) -> Made:
    return Made(frames, width, top, videos)


def given(case: Made, count: int) -> dict[str, Any]:
    text, shape, biases = case.some(count), case.shape, case.biases
    return {
        "frames": torch.from_numpy(case.frames),
        "tables": torch.from_numpy(pack_tables(case.tables)),
        "steps": torch.from_numpy(case.steps),
        "side": torch.from_numpy(pack_tables(case.side)),
        "text": [torch.from_numpy(part) for part in (text.logit, text.readout, text.scalars)],
        "shape": [shape.frames, shape.width, shape.top_k, 1],
        "biases": [biases.spread, biases.offset, biases.bias, biases.kappa],
    }


def agree(found: dict[str, Any], n: int) -> int:
    """How many int8 scored, once it is sure that all searches find the same."""
    scores, rows = found["torch"]
    for kind in ("float16", "int8"):
        torch.testing.assert_close(found[kind][1], rows, rtol=0, atol=0)
        assert torch.equal(found[kind][0].view(torch.int32), scores.view(torch.int32))
    assert scores.shape[1] == n
    return int(found["int8"][2])


# Frames, width, K, texts, hits.
SHAPES = [((3, 48, 2), 1, 2), ((4, 64, 2), 2, 3), ((3, 32, 1), 9, 2), ((3, 48, 3), 1, 15)]


@pytest.mark.parametrize(
    ("shape", "texts", "n"), [SHAPES[0], *(pytest.param(*each, marks=pytest.mark.slow) for each in SHAPES[1:])]
)
def test_both_storages_find_the_same_to_the_bit(
    interpreted: Run, shape: tuple[int, int, int], texts: int, n: int
) -> None:
    case = made(*shape)
    scored = agree(interpreted("searched", **given(case, texts), n=n), n)
    assert n <= scored < (VIDEOS if n < 10 else VIDEOS + 1)


@pytest.mark.slow
def test_several_devices_find_what_one_does(interpreted: Run) -> None:
    case = made(4, 64, 2)
    live = torch.ones(VIDEOS, dtype=torch.bool)
    live[::7] = False
    found = interpreted("searched", **given(case, 2), n=4, devices=3, parts=[10, 37], stripe=16, lead=16, live=live)
    agree(found, 4)
    # Stripes of 16 in turn.
    assert found["float16 rows"] == found["int8 rows"] == [28, 16, 16]


@pytest.mark.slow
def test_more_hits_than_are_kept_on_a_device(interpreted: Run) -> None:
    case = made(3, 32, 1)
    agree(interpreted("searched", **given(case, 1), n=VIDEOS, devices=2), VIDEOS)


class Stored:
    """Videos whose float16 frames differ from their steps by made errors, of which the steps' side has the lengths."""

    def __init__(self, kind: tuple[float, ...], videos: int, size: float, direction: int, share: float = 1.0) -> None:
        case = Case(kind, videos)
        values = np.random.default_rng(direction)
        lengths = size * values.uniform(0.5, 1.5, case.frames.shape[:2])
        self.shape, self.biases = case.shape, case.biases
        self.frames = case.frames.astype(np.float16)[:, None]
        tables = case.tables.astype(np.float32)
        moved = (case.frames - case.worst(lengths, direction, values)).astype(np.float16)[:, None]
        self.steps, self.side = encode(moved, tables, case.shape, case.biases)
        off = np.linalg.norm(turned(self.frames[:, 0].astype(np.float64)) - decoded(self.steps, self.side), axis=-1)
        self.side[:, case.shape.frames : 2 * case.shape.frames] = off * (1 + 1e-6) * share
        self.tables = tables
        self.text = [torch.from_numpy(part.numpy().astype(np.float32)) for part in case.text]

    def left(self, interpreted: Run, count: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[np.bool_]]:
        scores, thetas, left = interpreted(
            "bounded",
            frames=torch.from_numpy(self.frames),
            tables=torch.from_numpy(pack_tables(self.tables)),
            steps=torch.from_numpy(self.steps),
            side=torch.from_numpy(pack_tables(self.side)),
            text=self.text,
            shape=[self.shape.frames, self.shape.width, self.shape.top_k, 1],
            biases=[self.biases.spread, self.biases.offset, self.biases.bias, self.biases.kappa],
            count=count,
        )
        return scores.numpy(), thetas.numpy(), left.numpy()

    def wrong(self, interpreted: Run, count: int = 4) -> int:
        """Pairs of a threshold, which is a video's score, and a video that reaches it and is left out."""
        scores, thetas, left = self.left(interpreted, count)
        assert (thetas >= 0).any()
        reached = scores.astype(np.float64)[None] >= thetas[:, None]
        return int((reached & ~left)[thetas >= 0].sum())


def decoded(steps: npt.NDArray[np.uint8], side: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Turned frames [V, F, D] as they are stored."""
    count, whole, wide = steps.shape[1] - 1, steps.astype(np.float64) - 128, side.astype(np.float64)
    mean = whole[:, -1] * wide[:, 5 * count, None]
    found: npt.NDArray[np.float64] = whole[:, :-1] * wide[:, :count, None] + mean[:, None]
    return found


KINDS = [(4, 1, 0.05, 0.1, 0.5), (4, 2, 0.05, 1.0, 0.5), (4, 4, 0.05, 0.1, 3.0), (6, 3, 0.05, 0.1, 0.0)]


@pytest.mark.parametrize("kind", [pytest.param(KINDS[0], marks=pytest.mark.slow), KINDS[1]])
def test_errors_that_are_made_to_hide_a_score_hide_none(interpreted: Run, kind: tuple[float, ...]) -> None:
    assert Stored(kind, 64, 0.3, 0).wrong(interpreted) == 0


@pytest.mark.slow
def test_the_bound_of_the_kernel_has_little_to_give_away(interpreted: Run) -> None:
    # Told of less than half of every error it leaves out what it must not: so the test above can fail.
    assert Stored(KINDS[1], 64, 0.3, 0, share=0.4).wrong(interpreted) > 3


@pytest.mark.slow
def test_the_kernels_bound_leaves_out_most(interpreted: Run) -> None:
    scores, thetas, left = Stored(KINDS[1], 64, 1e-3, 0).left(interpreted, 2)
    # At the highest score few are left, at the lowest all.
    assert thetas.tolist() == [scores.min(), scores.max()]
    assert 1 <= left[1].sum() < 10
    assert left[0].all()


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", KINDS)
def test_no_error_of_any_size_or_direction_hides_a_score(interpreted: Run, kind: tuple[float, ...]) -> None:
    for size in (0.02, 0.5):
        for direction in range(3):
            assert Stored(kind, 64, size, direction).wrong(interpreted, 8) == 0
