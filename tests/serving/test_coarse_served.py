"""A gallery served with a coarse stage: what answers, metrics and HTTP tell of it, and what stays exact."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
from click.testing import CliRunner

from framesift import Client
from framesift.__main__ import main
from framesift.export.bundle.errors import BundleError, GalleryError
from framesift.export.bundle.store import Bundle
from framesift.serving.gallery.calibration import Calibration
from framesift.serving.gallery.store import Gallery
from framesift.serving.repository.placement import Placement
from framesift.serving.serve import running

from .coarse_gallery import fill, phrases

pytestmark = [pytest.mark.server, pytest.mark.slow]
COARSE = Placement(coarse=True)


def told(address: str, path: str, body: object = None) -> str:
    data = None if body is None else json.dumps(body).encode()
    asked = Request(f"http://{address}{path}", data, {"Content-Type": "application/json"})
    with urlopen(asked, timeout=60) as page:
        text: str = page.read().decode()
    return text


def test_a_served_coarse_stage_tells_what_it_is(bundle: Bundle, tmp_path: Path) -> None:
    folder, queries = tmp_path / "gallery", phrases(60)
    count = fill(bundle, folder)
    with pytest.raises(GalleryError, match="never calibrated"), running(bundle, folder, placement=COARSE):
        pass
    (tmp_path / "queries.txt").write_text("\n".join(queries))
    asked = ["gallery", "calibrate", str(folder), "--bundle", str(bundle.root), "--recall", "0.8"]
    done = CliRunner().invoke(main, [*asked, "--texts", str(tmp_path / "queries.txt")])
    assert done.exit_code == 0, done.output
    found = Calibration.read(folder)
    assert found is not None
    with running(bundle, folder) as server, Client(server.address) as client:
        wanted = client.search_many(queries[:12], top=10)
        assert [(result.exact, result.recall) for result in wanted] == [(None, None)] * 12
    lines: list[str] = []
    for placement in (COARSE, Placement("int8", coarse=True)):
        with (
            running(bundle, folder, placement=placement, report=lines.append) as server,
            Client(server.address) as client,
        ):
            shares = []
            for got, want in zip(client.search_many(queries[:12], top=10), wanted, strict=True):
                assert (got.exact, got.recall) == (False, found.recall)
                assert got.rescored is not None
                assert 10 <= got.rescored <= found.candidates
                scores = {hit.id: hit.score for hit in want.hits}
                shares.append(sum(hit.id in scores for hit in got.hits) / 10)
                assert all(abs(scores.get(hit.id, hit.score) - hit.score) < 1e-5 for hit in got.hits)
            assert sum(shares) / 12 > 0.7
            some = [f"v{n}" for n in range(0, 400, 2)]
            for exact in (
                client.search(queries[0], top=11),
                client.search(queries[0], top=5, candidates=some),
                client.search(queries[0], top=5, where='title has "red"'),
            ):
                assert (exact.exact, exact.recall) == (True, 1.0)
            pages = client.search_pages(queries[0], top=10)
            first, second = next(pages), next(pages)
            assert (first.exact, second.exact) == (False, True)
            assert not {hit.id for hit in first.hits} & {hit.id for hit in second.hits}
            cut = client.search(queries[0], top=10, min_score=first.hits[4].score)
            assert [hit.id for hit in cut.hits][:5] == [hit.id for hit in first.hits][:5]
            answer = json.loads(told(server.address, "/v1/search", {"text": queries[0], "top": 3}))
            assert answer["exact"] is False
            assert answer["results"][0]["recall"] == found.recall
            metrics = told(server.address, "/metrics")
            assert f'framesift_coarse_videos{{model="gallery_search"}} {count}' in metrics
            assert 'framesift_coarse_texts{model="gallery_search"} 60' in metrics
            assert "framesift_coarse_recall" in metrics
            assert "framesift_gallery_rescored" in metrics
    assert any(line.startswith("coarse stage: recall@10") for line in lines)
    with Gallery.open(folder, bundle.manifest) as gallery:
        calibration = Calibration.of(folder, bundle.manifest.fingerprint, gallery.version)
    assert calibration == found


def test_a_model_without_frames_to_average_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    from dataclasses import replace

    other = replace(bundle, manifest=replace(bundle.manifest, scorer="dot"))
    with pytest.raises(BundleError, match="dot can't"), running(other, tmp_path / "g", placement=COARSE):
        pass
