"""Two bundles on one real Triton server: one fills a gallery that chooses candidates, the other reads every pair."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from numpy.typing import NDArray

from framesift.__main__ import main
from framesift.errors import BundleError, InvalidFeatures
from framesift.export.build import build_bundle, eager_system
from framesift.export.bundle.store import Bundle
from framesift.serving.client.sync import Client
from framesift.serving.gallery.store import Gallery
from framesift.serving.serve import Chooser, running

from ..small_systems import given_options, small_bundle, write_checkpoint
from .test_features_served import eager_scores as eager_of_features
from .test_systems_served import eager_scores

pytestmark = [pytest.mark.server, pytest.mark.long, pytest.mark.slow, pytest.mark.timeout(600)]

LIMIT, VIDEOS = 3, 7
QUERIES = ["a small red circle moves left", "a large blue square", "purple triangle", "a " * 40 + "circle"]


@dataclass(frozen=True)
class Served:
    """A running server of two bundles, its client, the films' folder, and eager scores [QUERIES, VIDEOS] of both."""

    client: Client
    bundle: Bundle
    chooser: Chooser
    gallery: Path
    folder: Path
    ids: list[str]
    scores: NDArray[Any]
    chosen: NDArray[Any]


@pytest.fixture(scope="module", params=["all_in_one irtr", "actbert"])
def served(
    request: pytest.FixtureRequest, bundles: Path, clips: list, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    root, name = tmp_path_factory.mktemp("served"), request.param
    checkpoint, vocabulary = write_checkpoint(name, root)
    options = given_options(name)
    bundle = build_bundle(checkpoint, root / "bundle", options=options, merges=vocabulary, scan_limit=LIMIT)
    chooser = Chooser(small_bundle("clip4clip seqTransf", bundles), root / "chooser")
    films = root / "films"
    films.mkdir()
    paths = {clip.video.name: Path(shutil.copy(clip.video, films)) for clip in clips[:VIDEOS]}
    eager = eager_scores if bundle.manifest.features is None else _with_features
    scores = eager(bundle, paths, QUERIES)
    chosen = eager_scores(chooser.bundle, paths, QUERIES)
    with running(bundle, root / "gallery", chooser=chooser) as server, Client(server.address) as client:
        result = index(films, server.address)
        assert (result.exit_code, result.stdout) == (0, f"{VIDEOS} indexed, 0 skipped, 0 failed\n"), result.output
        assert f"chosen by clip4clip model {chooser.bundle.manifest.fingerprint[:12]} with the gallery" in result.stderr
        yield Served(client, bundle, chooser, root / "gallery", films, list(paths), scores, chosen)


def index(folder: Path, address: str) -> Any:
    return CliRunner().invoke(main, ["index", str(folder), "--server", address, "--no-cache"])


def _with_features(bundle: Bundle, paths: dict[str, Path], queries: list[str]) -> NDArray[Any]:
    """Writes a feature file beside every film; the scores of these."""
    system, generator = eager_system(bundle), torch.Generator().manual_seed(5)
    files = {id_: dict(system.random_arrays(generator)) for id_ in paths}
    for id_, arrays in files.items():
        np.savez(paths[id_].with_suffix(".npz"), **arrays)  # type: ignore[arg-type]
    return eager_of_features(bundle, files, queries)


def test_candidates_are_the_others_best_and_the_ranking_is_the_eager_one(served: Served) -> None:
    differ = 0
    for row, text in enumerate(QUERIES):
        chosen = np.argsort(-served.chosen[row], kind="stable")[:LIMIT]
        wanted = sorted(chosen, key=lambda v, row=row: -served.scores[row, v])
        result = served.client.search(text)
        assert [hit.id for hit in result.hits] == [served.ids[v] for v in wanted]
        scale = np.abs(served.scores).max()
        found = np.array([hit.score for hit in result.hits])
        np.testing.assert_allclose(found / scale, served.scores[row, wanted] / scale, atol=5e-3)
        differ += set(chosen) != set(np.argsort(-served.scores[row])[:LIMIT])
        told = result.shortlist
        assert told is not None
        manifest = served.chooser.bundle.manifest
        assert (told.system, told.fingerprint, told.chosen) == (manifest.system, manifest.fingerprint, LIMIT)
        assert (told.missing, told.unlisted) == ((), 0)
    assert differ
    assert result.cut


def test_the_command_and_json_tell_where_candidates_came_from(served: Served) -> None:
    command = ["search", QUERIES[0], "--server", served.client.address]
    shown = CliRunner().invoke(main, command)
    assert (shown.exit_code, len(shown.stdout.splitlines())) == (0, 1 + LIMIT), shown.output
    assert f"candidates: {LIMIT}, chosen by clip4clip model" in shown.stderr
    told = json.loads(CliRunner().invoke(main, [*command, "--json"]).stdout)
    assert (told["shortlist"]["system"], told["shortlist"]["missing"]) == ("clip4clip", [])


def test_candidates_that_are_named_are_searched_alone(served: Served) -> None:
    result = served.client.search(QUERIES[0], candidates=served.ids[-2:])
    assert ({hit.id for hit in result.hits}, result.shortlist) == (set(served.ids[-2:]), None)


def test_a_second_run_skips_and_what_one_gallery_lacks_is_filled_again(served: Served) -> None:
    again = index(served.folder, served.client.address)
    assert again.stdout == f"0 indexed, {VIDEOS} skipped, 0 failed: the gallery is as it was\n"
    first = served.client.search(QUERIES[0])
    with Gallery.existing(served.gallery) as gallery:
        gallery.remove([first.hits[0].id])
        version = gallery.version
    while (left := served.client.search(QUERIES[0])).version < version:
        pass
    assert [hit.id for hit in left.hits] == [hit.id for hit in first.hits[1:]]
    assert left.shortlist is not None
    assert left.shortlist.missing == (first.hits[0].id,)
    shown = CliRunner().invoke(main, ["search", QUERIES[0], "--server", served.client.address])
    assert f"1 are not in the gallery and were left out: {first.hits[0].id}" in shown.stderr
    with Gallery.existing(served.chooser.gallery) as gallery:
        gallery.remove([served.ids[0]])
    again = index(served.folder, served.client.address)
    assert again.stdout.startswith("2 indexed" if first.hits[0].id != served.ids[0] else "1 indexed")
    assert [hit.id for hit in served.client.search(QUERIES[0]).hits] == [hit.id for hit in first.hits]


def test_a_film_alone_is_refused_where_the_model_reads_features(served: Served, tmp_path: Path) -> None:
    if served.bundle.manifest.features is None:
        pytest.skip("it reads films alone")
    with pytest.raises(InvalidFeatures, match="the film has no feature file: put an npz or safetensors file of "):
        served.client.index(served.folder / served.ids[0], id="alone")
    assert not served.client.lookup(["alone"]).digests
    with Gallery.existing(served.chooser.gallery) as gallery:
        assert not gallery.lookup(["alone"]).digests


def test_who_can_not_choose_is_refused_before_anything_is_started(served: Served) -> None:
    swapped = running(served.chooser.bundle, served.chooser.gallery, chooser=Chooser(served.bundle, served.gallery))
    with pytest.raises(BundleError, match="finds videos by vectors of its own"), swapped:
        pass
