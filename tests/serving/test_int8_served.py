"""A gallery served in int8: the same hits with the same scores as in float16, and how many videos that took."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from framesift import Client
from framesift.__main__ import main
from framesift.export.bundle.store import Bundle
from framesift.serving.gallery.rows import GalleryEntry
from framesift.serving.gallery.store import Gallery
from framesift.serving.repository.placement import Placement
from framesift.serving.serve import running

pytestmark = [pytest.mark.server, pytest.mark.slow]


def test_int8_answers_as_float16_does_and_tells_what_it_took(bundle: Bundle, clips: list, tmp_path: Path) -> None:
    gallery, queries = tmp_path / "gallery", [clip.captions[0] for clip in clips[:6]]
    with running(bundle, gallery) as server, Client(server.address) as client:
        records = [client.encode_video(clip.video) for clip in clips[:8]]
    with Gallery.open(gallery, bundle.manifest) as opened:
        values = np.random.default_rng(3)
        names = opened.schema.record
        times = np.zeros(opened.schema.frames, np.float32)
        # The same few under many ids: their scores tie.
        tensors = [{spec.name: record.tensors[spec.name] for spec in names} for record in records]
        opened.add([GalleryEntry(f"v{n}", tensors[n % 8], times, 1.0, values.bytes(32)) for n in range(40)])
    with running(bundle, gallery) as server, Client(server.address) as client:
        wanted = client.search_many(queries, top=5)
        assert [result.exact for result in wanted] == [None] * 6
        liked = client.search(like="v3", top=5)
    with running(bundle, gallery, placement=Placement("int8")) as server, Client(server.address) as client:
        found = client.search_many(queries, top=5)
        for got, want in zip(found, wanted, strict=True):
            assert [(hit.id, hit.score, hit.attention) for hit in got.hits] == [
                (hit.id, hit.score, hit.attention) for hit in want.hits
            ]
            assert got.exact is True
            assert got.rescored is not None
            assert 5 <= got.rescored <= 40
        again = client.search(like="v3", top=5)
        assert [(hit.id, hit.score) for hit in again.hits] == [(hit.id, hit.score) for hit in liked.hits]
        assert again.exact is True
        assert {"v3", "v11"} & {hit.id for hit in again.hits} == {"v11"}
        few = client.search(queries[0], top=3, candidates=["v1", "v9", "v12", "v20"])
        assert few.exact is True
        told = CliRunner().invoke(main, ["search", queries[0], "--server", server.address, "--json"])
        answer = json.loads(told.output)
        assert answer["exact"] is True
        assert answer["rescored"] <= 40
        assert "framesift_gallery_rescored" in client_metrics(server.address)


def client_metrics(address: str) -> str:
    from urllib.request import urlopen

    with urlopen(f"http://{address}/metrics", timeout=60) as page:
        text: str = page.read().decode()
    return text
