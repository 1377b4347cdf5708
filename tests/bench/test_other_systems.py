"""Systems with other formulas than text-conditioned attention are measured and compared by the same commands."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from framesift.bench.inputs.corpus import prepare
from framesift.bench.inputs.gallery import synthetic
from framesift.bench.inputs.queries import captions
from framesift.bench.load.target import searchable
from framesift.bench.stages.case import SCORE_AND_TOP, SCORING, TOP_N, Spec
from framesift.bench.stages.cases import Stages
from framesift.export.bundle.scorers import scan_limit
from framesift.export.bundle.store import Bundle
from framesift.serving.gallery.store import Gallery

from ..serving.toy_ports import toy_manifest, whole_pairs
from ..small_systems import small_bundle
from .results import equal_results

# More than a short list holds.
VIDEOS = 130
# One that scores every video by its graph, with a mask, noise and a tower that reads whole clips; one that re-ranks a
# short list.
SYSTEMS = {"ts2net": set(SCORING), "clip4clip tightTransf": {SCORE_AND_TOP, TOP_N}}


@pytest.fixture(scope="module", params=SYSTEMS)
def other(request: pytest.FixtureRequest, bundles: Path) -> tuple[str, Bundle]:
    return request.param, small_bundle(request.param, bundles)


@pytest.mark.parametrize(
    "name", ["howto100m", *(pytest.param(name, marks=pytest.mark.slow) for name in ("mmt", "actbert", "clipbert"))]
)
def test_a_gallery_is_made_of_any_record(name: str, bundles: Path, tmp_path: Path) -> None:
    bundle = small_bundle(name, bundles)
    with Gallery.open(synthetic(bundle, 12, tmp_path), bundle.manifest, create=False) as gallery:
        assert gallery.count == 12


def test_a_search_that_reads_every_video_gets_a_gallery_that_it_may_read() -> None:
    every = Bundle(Path("pairs"), whole_pairs(100))
    vectors = Bundle(Path("vectors"), toy_manifest(3, 32, 8, scorer="dot"))
    assert scan_limit(every.manifest) == 100
    assert (searchable(every, 10_000), searchable(every, 3), searchable(vectors, 10_000)) == (100, 3, 10_000)


def test_services_are_given_equal_videos(other: tuple[str, Bundle], tmp_path: Path) -> None:
    corpus = prepare(other[1], VIDEOS, tmp_path / "corpus", drawn=False, report=lambda _: None)
    assert len(corpus) == VIDEOS
    np.testing.assert_allclose(np.linalg.norm(corpus.means, axis=1), 1, atol=1e-5)
    equal_results(corpus, 1e-5)


def test_scoring_is_timed_where_it_agrees_with_float64(other: tuple[str, Bundle], tmp_path: Path) -> None:
    name, bundle = other
    made = Stages(bundle, captions(100), tmp_path, lambda engine: "compile" not in engine)
    found = {stage: made.case(Spec(stage, 3, VIDEOS)) for stage in SCORING}
    assert {stage for stage, case in found.items() if case is not None} == SYSTEMS[name]
    for case in filter(None, found.values()):
        assert case.baseline in case.engines
        assert {engine: fault for engine, run in case.engines.items() if (fault := case.fault(run()))} == {}
    best = found[SCORE_AND_TOP]
    assert best is not None
    scores, rows = best.engines["framesift"]()
    assert "float64" in (best.fault((scores, np.roll(rows, 1, axis=1))) or "")
