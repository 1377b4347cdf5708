"""The Triton kernels of plain vectors, interpreted or on a GPU: against float64, with ties, masks and odd shapes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch

from framesift.kernels.device.pair_plan import PAIR_CANDIDATES, PAIR_OWN, PAIR_TILES, pair_plan, regime_of
from framesift.kernels.device.tile import GROUP

from .pair_problems import Floats, Problem

Run = Callable[..., Any]
NAMES = ("dot", "frame_softmax", "token_frame", "multi_grained")
# Largest error over the largest score. Up to 8 texts, or 2 of token_frame, count in full; others
# are rounded to 16 bits, which the softmaxes of multi_grained and token_frame sharpen a hundredfold.
TOLERANCE = {"dot": 3e-6, "frame_softmax": 3e-6, "token_frame": 3e-5}
ROUNDED = {"dot": 5e-4, "frame_softmax": 5e-4, "token_frame": 1e-3, "multi_grained": 2e-3}
# Queries, videos, words, frames, width, and whose tiles.
SHAPES = [
    (1, 1, 1, 1, 16, 80),
    (2, 13, 7, 5, 48, 80),
    (3, 9, 20, 13, 32, 90),
    (18, 5, 33, 3, 16, 90),
]
IDS = ["Q{}-V{}-W{}-F{}-D{}-sm{}".format(*shape) for shape in SHAPES]


def arguments(made: Problem, name: str) -> dict[str, Any]:
    scan = made.scan(name)
    tensors = {
        which: {key: torch.from_numpy(np.ascontiguousarray(array)) for key, array in arrays.items()}
        for which, arrays in (("text", scan.text), ("records", scan.records))
    }
    matrices = None if scan.matrices is None else torch.from_numpy(scan.matrices)
    return {"scorer": name, **tensors, "matrices": matrices, "sharpness": scan.sharpness, "scale": scan.scale}


def allowed(name: str, queries: int, want: Floats) -> float:
    few = regime_of(name, queries) == "few" and name != "multi_grained"  # type: ignore[arg-type]
    return float((TOLERANCE if few else ROUNDED)[name] * np.abs(want).max())


# The interpreter takes seconds for most of them: the usual tests have one of few queries, and, of scorers whose kernel
# is another then, one of many.
CASES = [
    pytest.param(name, shape, id=f"{name}-{id_}", marks=[] if usual else pytest.mark.slow)
    for name in NAMES
    for shape, id_ in zip(SHAPES, IDS, strict=True)
    for usual in [shape == SHAPES[1] or (shape == SHAPES[3] and name in ("dot", "frame_softmax"))]
]


@pytest.mark.parametrize(("name", "shape"), CASES)
def test_scores_are_those_of_the_reference(interpreted: Run, name: str, shape: tuple[int, ...]) -> None:
    made = Problem(*shape[:5], np.float16)
    want = made.reference(name)
    got = interpreted("pair_scores", **arguments(made, name), arch=shape[5]).numpy()
    assert (got.dtype, got.shape) == (np.float32, want.shape)
    np.testing.assert_allclose(got, want, rtol=0, atol=allowed(name, shape[0], want))


@pytest.mark.parametrize(("name", "parts"), [("dot", True), *((name, False) for name in NAMES[1:])])
def test_a_search_is_a_stable_sort_of_the_scores(interpreted: Run, name: str, parts: bool) -> None:
    videos = GROUP + 5
    made = Problem(1, videos, 4, 2, 16, np.float16)
    for array in (made.frames, made.video, made.mask):
        array[64:128] = array[:64]
    given = arguments(made, name)
    scores = interpreted("pair_scores", **given)
    live = torch.from_numpy(np.random.default_rng(0).random(videos) < 0.6)
    for alive, n in ((None, 5), (live, 20))[parts is False :]:
        kept = scores if alive is None else scores.masked_fill(~alive, -torch.inf)
        want = kept.sort(dim=1, descending=True, stable=True)
        found, rows = interpreted("pair_scores", **given, n=n, live=alive, parts=parts)
        assert torch.equal(found, want.values[:, :n])
        assert torch.equal(rows, want.indices[:, :n])


@pytest.mark.parametrize("dead", [False, True])
def test_the_largest_of_stored_scores_are_kept_as_those_of_a_tile(interpreted: Run, dead: bool) -> None:
    scores = torch.randn(18, GROUP + 5)
    live = (torch.rand(GROUP + 5) < 0.5).to(torch.uint8) if dead else None
    want = scores if live is None else scores.masked_fill(live == 0, -torch.inf)
    found, largest = interpreted("kept_apart", scores=scores.clone(), live=live)
    assert torch.equal(found, want)
    values = torch.where(largest < 0, largest ^ 0x7FFFFFFF, largest).view(torch.float32)
    assert torch.equal(values, torch.stack([part.amax(1) for part in want.split(GROUP, 1)], 1))


@pytest.mark.parametrize(("name", "queries"), list(zip(NAMES, (1, 9, 1, 3), strict=True)))
def test_what_is_not_a_number_comes_last(interpreted: Run, name: str, queries: int) -> None:
    made = Problem(queries, 12, 5, 3, 16, np.float16)
    made.frames[3], made.video[3], made.frames[7, 2, 5], made.video[7, 4] = np.nan, np.nan, np.nan, np.nan
    scores, rows = interpreted("pair_scores", **arguments(made, name), n=12)
    np.testing.assert_array_equal(rows[:, -2:].numpy(), [[3, 7]] * queries)
    assert scores[:, -2:].isneginf().all()
    assert scores[:, :-2].isfinite().all()


def test_a_video_without_a_frame_that_counts_comes_last(interpreted: Run) -> None:
    made = Problem(3, 20, 1, 6, 32, np.float16)
    made.mask[11] = 0
    scores, rows = interpreted("pair_scores", **arguments(made, "frame_softmax"), n=20)
    assert (rows[:, -1] == 11).all()
    assert scores[:, -1].isneginf().all()


@pytest.mark.parametrize("queries", [1, 5])
def test_vectors_that_look_away_from_each_other_score_as_in_the_formula(interpreted: Run, queries: int) -> None:
    """Similarities from -1 to 1: what float32 can't tell from zero at a hundredfold sharpness weighs nothing."""
    made = Problem(queries, 9, 9, 5, 16, np.float16)
    signs = np.where(np.random.default_rng(1).random((9, 5, 1)) < 0.5, -1, 1)
    made.frames = (made.frames * signs).astype(np.float16)
    made.short[0] = 0
    for name in ("token_frame", "multi_grained"):
        want = made.reference(name)
        got = interpreted("pair_scores", **arguments(made, name)).numpy()
        np.testing.assert_allclose(got, want, rtol=0, atol=allowed(name, queries, want))


@pytest.mark.parametrize("scale", [1e-20, 1e20])
def test_texts_of_any_length_are_scored(interpreted: Run, scale: float) -> None:
    made = Problem(2, 9, 1, 5, 16, np.float16)
    made.sentence = (made.sentence * scale).astype(np.float32)
    for name in ("dot", "frame_softmax"):
        want = made.reference(name)
        got = interpreted("pair_scores", **arguments(made, name)).numpy()
        np.testing.assert_allclose(got, want, rtol=0, atol=allowed(name, 2, want))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda g: g["records"].update(frame_vectors=g["records"]["frame_vectors"].float()), "must be torch.float16"),
        (lambda g: g.update(n=21), "n is 21"),
        (lambda g: g.update(n=1, live=torch.ones(19, dtype=torch.bool)), "live is torch.bool"),
        (lambda g: g.update(n=1, live=torch.zeros(20, dtype=torch.bool)), "number of videos, 0"),
    ],
)
def test_what_does_not_belong_together_is_refused(
    interpreted: Run, spoil: Callable[[dict[str, Any]], Any], said: str
) -> None:
    given = arguments(Problem(2, 20, 9, 6, 32, np.float16), "token_frame")
    spoil(given)
    with pytest.raises((ValueError, RuntimeError), match=said):
        interpreted("pair_scores", **given)


def test_other_sizes_have_tiles_of_no_more_rows_and_columns() -> None:
    for arch in PAIR_TILES:
        for words, frames in ((32, 12), (77, 12), (16, 32), (128, 64), (7, 1)):
            for name in ("token_frame", "multi_grained"):
                usual = pair_plan(name, 12, 512, 32, 256, arch).tile
                how = pair_plan(name, frames, 512, words, 256, arch)
                rows = how.tile.queries * how.constants()["W"]
                most = 32 * usual.queries * usual.videos * 12
                assert rows * how.tile.videos * frames <= most or how.tile.queries == 1
                assert GROUP % how.tile.videos == 0
                assert how.tile.videos >= 8


def test_a_measured_tile_is_taken_where_it_fits_and_nothing_else_is_before() -> None:
    assert PAIR_OWN == {}
    assert all(tile.kernel == "portable" for tiles in PAIR_TILES.values() for tile in tiles.values())
    ring = PAIR_CANDIDATES[90, "token_frame", "many"][0]
    with mock.patch.dict(PAIR_OWN, {(90, "token_frame", "many"): ring}):
        how = pair_plan("token_frame", 12, 512, 32, 64, 90)
        assert how.tile == ring
        assert how.tile.grid(64, 1_000_000, 132) == (16, 8)
        assert how.tile.grid(3, 9, 132) == (1, 2)
        for frames, width, words, queries, arch in (
            (12, 512, 32, 2, 90),
            (12, 512, 64, 64, 90),
            (16, 512, 32, 64, 90),
            (7, 512, 32, 64, 90),
            (12, 768, 32, 64, 90),
            (12, 480, 32, 64, 90),
            (12, 512, 32, 64, 100),
        ):
            assert not pair_plan("token_frame", frames, width, words, queries, arch).tile.ring


def test_a_device_without_the_tensor_cores_is_refused() -> None:
    with pytest.raises(ValueError, match="this device has 7.5"):
        pair_plan("dot", 1, 512, 1, 1, 75)
