"""Rules against brute force: rankings written out place by place, ties in every possible order."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from framesift.export.bundle.errors import InvalidInput
from framesift.export.evaluation.metrics import retrieval_metrics
from framesift.export.evaluation.names import RULE_NAMES
from framesift.export.evaluation.rules import RULES, Measurement
from framesift.export.evaluation.scores import ScoreMatrix


@st.composite
def matrices(draw: st.DrawFn, single: bool = False) -> ScoreMatrix:
    """Small matrices with many ties, rows in any order, every video with a caption."""
    videos = draw(st.integers(1, 4))
    extra = 0 if single else draw(st.integers(0, 3))
    owners = [*range(videos), *draw(st.lists(st.integers(0, videos - 1), min_size=extra, max_size=extra))]
    target = np.array(draw(st.permutations(owners)), np.int64)
    size = len(target) * videos
    values = draw(st.lists(st.sampled_from([-1.0, 0.0, 0.5, 2.0]), min_size=size, max_size=size))
    return ScoreMatrix(np.array(values, np.float32).reshape(len(target), videos), target)


def ranked(values: list[float], order: tuple[int, ...]) -> list[int]:
    """Indices by falling value; equals in the order given."""
    return sorted(order, key=lambda i: -values[i])


def places(values: list[float], mine: set[int]) -> list[int]:
    """Where the first of ``mine`` stands, from 0, for every order in which equals may come."""
    orders = itertools.permutations(range(len(values)))
    return [min(ranked(values, order).index(i) for i in mine) for order in orders]


def numbers(ranks: list[float]) -> Measurement:
    r1, r5, r10 = (100 * sum(rank <= k for rank in ranks) / len(ranks) for k in (1, 5, 10))
    return Measurement(r1, r5, r10, float(np.median(ranks)), sum(ranks) / len(ranks), len(ranks))


def assert_close(found: Measurement, want: Measurement) -> None:
    for field in ("r1", "r5", "r10", "mdr", "mnr", "counted"):
        assert getattr(found, field) == pytest.approx(getattr(want, field)), field


@settings(max_examples=60, deadline=None)
@given(matrices())
def test_the_default_is_the_rank_expected_of_a_random_order_of_equals(matrix: ScoreMatrix) -> None:
    rows = matrix.scores.tolist()
    t2v = [1 + np.mean(places(row, {int(v)})) for row, v in zip(rows, matrix.target, strict=True)]
    assert_close(RULES["expected"].measure(matrix, "t2v"), numbers(t2v))
    own = [set(np.flatnonzero(matrix.target == v).tolist()) for v in range(matrix.scores.shape[1])]
    v2t = [1 + np.mean(places(matrix.scores[:, v].tolist(), own[v])) for v in range(len(own))]
    assert_close(RULES["expected"].measure(matrix, "v2t"), numbers(v2t))


@settings(max_examples=60, deadline=None)
@given(matrices(single=True))
def test_clip4clip_counts_every_tied_place_as_a_sample(matrix: ScoreMatrix) -> None:
    for direction in ("t2v", "v2t"):
        square = matrix.scores[:, matrix.target]
        square = square if direction == "t2v" else square.T
        found = []
        for i, row in enumerate(square.tolist()):
            found += [place + 1 for place, value in enumerate(sorted(row, reverse=True)) if value == row[i]]
        assert_close(RULES["clip4clip"].measure(matrix, direction), numbers(found))
    howto = RULES["howto100m"].measure(matrix, "t2v")
    clip = RULES["clip4clip"].measure(matrix, "t2v")
    assert (100 * howto.r1, howto.mdr, howto.mnr, howto.fractions) == (pytest.approx(clip.r1), clip.mdr, None, True)


@settings(max_examples=60, deadline=None)
@given(matrices())
def test_frozen_takes_the_best_place_and_mmt_the_mean_one(matrix: ScoreMatrix) -> None:
    rows = matrix.scores.tolist()
    best = [1 + min(places(row, {int(v)})) for row, v in zip(rows, matrix.target, strict=True)]
    assert_close(RULES["frozen"].measure(matrix, "t2v"), numbers(best))
    mean = [1 + np.mean(places(row, {int(v)})) for row, v in zip(rows, matrix.target, strict=True)]
    found = RULES["mmt"].measure(matrix, "t2v")
    assert (found.r1, found.mdr, found.mnr) == (
        pytest.approx(numbers(mean).r1),
        pytest.approx(np.median(mean)),
        pytest.approx(np.mean(mean)),
    )
    v2t = []
    for v in range(matrix.scores.shape[1]):
        column = matrix.scores[:, v].tolist()
        falling = sorted(column, reverse=True)
        same = {x: np.mean([i for i, y in enumerate(falling) if y == x]) for x in column}
        v2t.append(1 + min(same[column[i]] for i in np.flatnonzero(matrix.target == v)))
    for rule in ("frozen", "mmt"):
        found = RULES[rule].measure(matrix, "v2t")
        assert (found.mdr, found.mnr) == (pytest.approx(np.median(v2t)), pytest.approx(np.mean(v2t)))


@settings(max_examples=60, deadline=None)
@given(matrices())
def test_rules_that_follow_a_sort_stay_between_the_best_and_the_worst_place(matrix: ScoreMatrix) -> None:
    rows = matrix.scores.tolist()
    every = [places(row, {int(v)}) for row, v in zip(rows, matrix.target, strict=True)]
    low, high = (1 + np.mean([f(p) for p in every]) for f in (min, max))
    for rule in ("xpool", "clip4clip-multi", "clipbert", "actbert"):
        found = RULES[rule].measure(matrix, "t2v")
        assert low - 1e-6 <= found.mnr <= high + 1e-6, rule


@settings(max_examples=30, deadline=None)
@given(matrices())
def test_xpool_orders_equals_as_torch_does(matrix: ScoreMatrix) -> None:
    grouped = matrix.grouped()
    order = torch.from_numpy(np.ascontiguousarray(grouped.scores)).argsort(dim=1, descending=True)
    mine = torch.from_numpy(grouped.target)[:, None]
    found = (order == mine).int().argmax(1).double()
    assert RULES["xpool"].measure(matrix, "t2v").mnr == pytest.approx(float(found.mean()) + 1)


def distinct(rng: np.random.Generator, counts: list[int]) -> ScoreMatrix:
    """No two scores equal, rows shuffled."""
    target = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    scores = rng.permutation(len(target) * len(counts)).reshape(len(target), -1) / 1e4
    return ScoreMatrix(scores, target)


@pytest.mark.parametrize("seed", range(5))
def test_without_ties_and_with_a_caption_a_video_all_rules_agree(seed: int) -> None:
    matrix = distinct(np.random.default_rng(seed), [1] * 41)
    for direction in ("t2v", "v2t"):
        want = RULES["expected"].measure(matrix, direction)
        for name, rule in RULES.items():
            if direction == "v2t" and rule.v2t is None:
                continue
            found = rule.measure(matrix, direction)
            scale = 100 if found.fractions else 1
            assert [scale * x for x in (found.r1, found.r5, found.r10)] == pytest.approx(
                [want.r1, want.r5, want.r10], rel=1e-6
            ), name
            assert found.mdr in (None, want.mdr), name
            assert found.mnr is None or found.mnr == pytest.approx(want.mnr), name
            assert found.counted == 41, name


@pytest.mark.parametrize("seed", range(5))
def test_video_to_text_with_several_captions_differs_as_documented(seed: int) -> None:
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, 5, size=23).tolist()
    matrix = distinct(rng, counts)
    among_captions, among_videos = [], []
    best = {(u, v): max(matrix.scores[matrix.target == u, v]) for u in range(23) for v in range(23)}
    for v in range(23):
        order = np.argsort(-matrix.scores[:, v])
        among_captions.append(1 + int(np.flatnonzero(matrix.target[order] == v)[0]))
        among_videos.append(1 + sum(best[u, v] > best[v, v] for u in range(23)))
    for rule, ranks in {
        "expected": among_captions,
        "frozen": among_captions,
        "mmt": among_captions,
        "xpool": among_videos,
        "clip4clip-multi": among_videos,
    }.items():
        assert_close(RULES[rule].measure(matrix, "v2t"), numbers(ranks))
    last = [max(np.flatnonzero(matrix.target == v)) for v in range(23)]
    own = [1 + int((matrix.scores[:, v] > matrix.scores[last[v], v]).sum()) for v in range(23)]
    assert_close(RULES["clipbert"].measure(matrix, "v2t"), numbers(own))
    found = RULES["all-in-one"].measure(matrix, "v2t")
    assert 100 * found.r5 == pytest.approx(numbers(among_captions).r5)


def test_the_median_of_an_even_count() -> None:
    scores = np.array([[2.0, 1.0], [1.0, 2.0]])
    matrix = ScoreMatrix(scores, np.array([0, 0]))
    two = ScoreMatrix(np.vstack([scores, scores]), np.array([0, 0, 1, 1]))
    assert RULES["expected"].measure(matrix, "t2v").mdr == 1.5
    assert {name: RULES[name].measure(two, "t2v").mdr for name in ("xpool", "clip4clip-multi", "actbert")} == {
        "xpool": 1.5,
        "clip4clip-multi": 1.0,
        "actbert": 1.0,
    }


def test_a_constant_scorer_is_perfect_under_frozen_and_average_under_the_default() -> None:
    matrix = ScoreMatrix(np.zeros((21, 21)), np.arange(21))
    assert RULES["frozen"].measure(matrix, "t2v").r1 == 100.0
    assert RULES["expected"].measure(matrix, "t2v").mnr == 11.0
    assert RULES["expected"].measure(matrix, "v2t").mnr == 11.0
    assert RULES["clip4clip"].measure(matrix, "t2v").counted == 21 * 21


def test_scores_that_are_not_finite() -> None:
    scores = np.random.default_rng(0).normal(size=(12, 12)).astype(np.float32)
    scores[3, 3], scores[4, 4], scores[5, 6] = np.nan, -np.inf, np.nan
    matrix = ScoreMatrix(scores, np.arange(12))
    assert RULES["clip4clip"].measure(matrix, "t2v").counted == 10
    assert RULES["xpool"].measure(matrix, "t2v").counted == 10
    assert RULES["clip4clip-multi"].measure(matrix, "t2v").counted == 10
    for name in ("expected", "frozen", "mmt", "all-in-one"):
        for direction in ("t2v", "v2t"):
            with pytest.raises(InvalidInput, match="NaN"):
                RULES[name].measure(matrix, direction)
    # NaN stands above every number in torch's sort, below every number in compute_metrics.
    row = ScoreMatrix(scores[5:6], np.array([5])).scores
    better = int((row > row[0, 5]).sum())
    square = np.where(np.eye(12, dtype=bool), 1.0, 0.0).astype(np.float32)
    square[5] = row
    by_sort = RULES["xpool"].measure(ScoreMatrix(square, np.arange(12)), "t2v").mnr
    by_count = RULES["clip4clip"].measure(ScoreMatrix(square, np.arange(12)), "t2v").mnr
    assert by_sort * 12 - 11 == pytest.approx(better + 2)
    assert by_count * 12 - 11 == pytest.approx(better + 1)


def test_nothing_left_to_measure_is_an_error() -> None:
    matrix = ScoreMatrix(np.full((3, 3), np.nan), np.arange(3))
    for name in ("clip4clip", "xpool", "clip4clip-multi"):
        with pytest.raises(InvalidInput, match="no query is left"):
            RULES[name].measure(matrix, "t2v")


def test_what_a_rule_has_no_answer_for_is_refused() -> None:
    rng = np.random.default_rng(1)
    several = distinct(rng, [2, 1, 3])
    with pytest.raises(InvalidInput, match="clip4clip-multi"):
        RULES["clip4clip"].measure(several, "t2v")
    with pytest.raises(InvalidInput, match="text-to-video alone"):
        RULES["clover"].measure(several, "v2t")
    with pytest.raises(InvalidInput, match="top 10 of 3"):
        RULES["all-in-one"].measure(several, "t2v")
    bare = ScoreMatrix(rng.normal(size=(3, 5)), np.array([0, 1, 4]))
    with pytest.raises(InvalidInput, match="2 of 5 videos have no caption"):
        RULES["xpool"].measure(bare, "t2v")
    assert math.isfinite(RULES["expected"].measure(bare, "t2v").mnr)
    assert RULES["expected"].measure(bare, "v2t").counted == 3


def test_clipbert_rounds_to_four_decimals_as_python_does() -> None:
    # Multiplied by 10^4 in float64, 0.00015 is 1.4999999999999998 or 1.5, and rounds up or to even; Python says 0.0001.
    for near in (0.00015, 0.00025, 0.12345, 0.54325):
        scores = np.array([[near, round(near, 4)], [0.9, 0.8]])
        found = RULES["clipbert"].measure(ScoreMatrix(scores, np.array([0, 1])), "t2v")
        # After rounding the first row is a tie, and so the places of the first video and of the second are 1 and 2.
        other = RULES["clipbert"].measure(ScoreMatrix(scores, np.array([1, 1])), "t2v")
        assert {found.mnr, other.mnr} == {1.5, 2.0}


def test_the_names_are_those_of_the_command_line() -> None:
    assert tuple(RULES) == RULE_NAMES


def test_the_default_is_what_training_and_the_demo_report() -> None:
    scores = np.random.default_rng(3).integers(0, 4, size=(30, 30)).astype(np.float32)
    found = RULES["expected"].measure(ScoreMatrix(scores, np.arange(30)), "t2v")
    want = retrieval_metrics(scores)
    assert (found.r1, found.r5, found.r10, found.mdr, found.mnr) == (want.r1, want.r5, want.r10, want.mdr, want.mnr)
