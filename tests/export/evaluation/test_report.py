"""Tables beside published rows, and where those come from."""

from __future__ import annotations

import json

import numpy as np
import pytest

from framesift.export.bundle.errors import InvalidInput
from framesift.export.evaluation.measure import measure
from framesift.export.evaluation.names import DIRECTION_NAMES, RULE_NAMES, TABLE_NAMES
from framesift.export.evaluation.postprocess import dual_softmax, querybank_norm
from framesift.export.evaluation.published import published_tables
from framesift.export.evaluation.report import COLUMNS, EvaluationReport, text, to_dict
from framesift.export.evaluation.rules import RULES, Measurement
from framesift.export.evaluation.scores import ScoreMatrix


def random(queries: int, videos: int, seed: int = 0) -> ScoreMatrix:
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(queries, videos))
    return ScoreMatrix(scores, rng.permutation(np.arange(queries) % videos))


@pytest.mark.parametrize("name", TABLE_NAMES)
def test_every_published_row_has_a_source_and_possible_numbers(name: str) -> None:
    table = published_tables()[name]
    assert table.rows
    for row in table.rows:
        assert row.source
        assert row.direction in DIRECTION_NAMES
        assert len(row.values) == len(COLUMNS)
        r1, r5, r10, mdr, mnr = row.values
        recalls = [value for value in (r1, r5, r10) if value is not None]
        assert recalls == sorted(recalls)
        assert all(0 < value < 100 for value in recalls)
        assert all(value is None or value >= 1 for value in (mdr, mnr))


def test_the_tables_are_those_of_the_command_line() -> None:
    assert tuple(published_tables()) == TABLE_NAMES


def test_the_table_puts_the_measured_row_last_in_the_papers_columns() -> None:
    report = measure(random(1000, 1000))
    lines = text(report, published_tables()["msrvtt-7k"]).splitlines()
    assert lines[0] == "text-to-video, MSR-VTT 1k-A, 7k training split"
    assert lines[1].split() == list(COLUMNS)
    assert lines[7].split() == ["X-Pool", "43.9", "72.5", "82.3", "2.0", "14.6", "[1]"]
    assert lines[9].split()[0] == "measured"
    assert lines[9].split()[1:] == [f"{v:.1f}" for v in measured(report)]
    assert "[1] Dong et al." in lines[11]
    assert "NOT THE PUBLISHED TEST SET" not in text(report, published_tables()["msrvtt-7k"])


def measured(report: EvaluationReport, direction: str = "t2v") -> list[float]:
    found = report.measured[direction]
    return [found.r1, found.r5, found.r10, found.mdr, found.mnr]


def test_another_size_than_the_published_one_is_told() -> None:
    assert "NOT THE PUBLISHED TEST SET" in text(measure(random(24, 24)), published_tables()["msrvtt"])
    assert "NOT THE PUBLISHED TEST SET" not in text(measure(random(24, 24)), None)


def test_both_directions_make_two_tables() -> None:
    report = measure(random(30, 10), directions=("t2v", "v2t"))
    first, second = text(report, published_tables()["msvd"]).split("\n\nvideo-to-text")
    assert first.startswith("text-to-video")
    assert "CLIP, zero-shot" in second
    assert "X-Pool" not in second


def test_json_holds_what_the_table_shows() -> None:
    report = measure(random(30, 30), directions=("t2v", "v2t"))
    found = json.loads(json.dumps(to_dict(report, published_tables()["lsmdc"])))
    assert [found["measured"]["v2t"][name] for name in COLUMNS] == measured(report, "v2t")
    assert found["measured"]["t2v"]["samples"] == 30
    assert (found["rule"], found["queries"], found["videos"], found["postprocessing"]) == ("expected", 30, 30, None)
    assert {"system", "source", "R@1"} <= found["published"][0].keys()
    assert to_dict(report, None)["published"] == []


def test_bounds_fractions_and_counted_ties_are_told() -> None:
    bound = EvaluationReport(
        "expected", 30, 30, {"t2v": Measurement(10, 20, 30, 40.0, 50.0, 30, at_least=("MdR", "MnR"))}
    )
    assert ">=40.0" in text(bound, None)
    assert ">=50.0" in text(bound, None)
    assert "MdR and MnR: at least" in text(bound, None)
    ties = ScoreMatrix(np.zeros((5, 5)), np.arange(5))
    assert "25 samples of 5 queries" in text(measure(ties, rule="clip4clip"), None)
    distinct = np.random.default_rng(0).normal(size=(12, 12)) + 9 * np.eye(12)
    fractions = measure(ScoreMatrix(distinct, np.arange(12)), rule="howto100m")
    assert "measured  100.0  100.0  100.0  1.0    -" in text(fractions, None)
    assert "fractions" in text(fractions, None)
    assert to_dict(fractions, None)["measured"]["t2v"]["recall_unit"] == "fraction"
    assert to_dict(fractions, None)["measured"]["t2v"]["R@1"] == 1.0


def test_post_processing_is_named_and_said_not_to_be_servable() -> None:
    matrix = random(20, 20)
    bank = np.random.default_rng(1).normal(size=(50, 20))
    for report, name in ((measure(matrix, dual=True), "DSL"), (measure(matrix, bank=bank), "QB-norm")):
        assert f"measured, {name}" in text(report, None)
        assert "a server can't rank like this" in text(report, None)
        assert to_dict(report, None)["postprocessing"] == name
    with pytest.raises(InvalidInput, match="can't be combined"):
        measure(matrix, dual=True, bank=bank)
    with pytest.raises(InvalidInput, match="measure t2v alone"):
        measure(matrix, bank=bank, directions=("t2v", "v2t"))


def test_dual_softmax_is_the_score_times_its_share_among_queries() -> None:
    scores = np.random.default_rng(0).normal(size=(7, 5)) * 30
    want = [[s * np.exp(s) / sum(np.exp(scores[:, v])) for v, s in enumerate(row)] for row in scores]
    np.testing.assert_allclose(dual_softmax(scores), want, rtol=1e-12)
    assert np.isfinite(dual_softmax(np.array([[1e4, 0.0], [0.0, 1e4]], np.float32))).all()
    matrix = random(20, 20)
    found = measure(matrix, dual=True, scale=7.0).measured["t2v"]
    assert found == RULES["expected"].measure(matrix.map(dual_softmax(7.0 * matrix.scores)), "t2v")


def test_querybank_norm_touches_rows_whose_best_item_is_a_hub() -> None:
    rng = np.random.default_rng(2)
    scores, bank = rng.normal(size=(30, 8)), rng.normal(size=(40, 8))
    bank[:, 0] -= 5
    bank[:, 1] += 2
    found = querybank_norm(scores, bank, k=2, beta=1.5, theta=4)
    hits = [0] * 8
    for row in bank:
        for item in np.argsort(-row)[:2]:
            hits[item] += 1
    assert 0 < sum(n >= 4 for n in hits) < 8
    for row, got in zip(scores, found, strict=True):
        if hits[int(np.argmax(row))] >= 4:
            want = [np.exp(1.5 * s) / sum(np.exp(1.5 * bank[:, v])) for v, s in enumerate(row)]
            np.testing.assert_allclose(got, want, rtol=1e-12)
        else:
            assert np.array_equal(got, row)
    assert np.isfinite(querybank_norm(100 * scores, 100 * bank)).all()


def test_every_rule_says_what_it_is() -> None:
    assert all(RULES[name].what for name in RULE_NAMES)
