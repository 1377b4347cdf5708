"""All-in-one's vectors over several views of a video, from a checkpoint to answers of a real Triton server."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from framesift.export.build import build_bundle
from framesift.serving.client.sync import Client
from framesift.serving.ranking_parity import compare
from framesift.serving.serve import running

from ..small_systems import given_options, write_checkpoint
from .evaluated import check_evaluation
from .test_systems_served import eager_scores

pytestmark = [pytest.mark.server, pytest.mark.slow, pytest.mark.timeout(600)]

VIEWS, VIDEOS = 2, 6


def test_views_are_averaged_in_one_record(clips: list, tmp_path: Path) -> None:
    checkpoint, vocabulary = write_checkpoint("all_in_one vtc", tmp_path)
    options = {**given_options("all_in_one vtc"), "views": VIEWS}
    bundle = build_bundle(checkpoint, tmp_path / "bundle", options=options, merges=vocabulary)
    manifest = bundle.manifest
    assert (manifest.options["views"], manifest.frame_count) == (VIEWS, VIEWS * options["frames"])
    paths = {clip.video.name: clip.video for clip in clips[:VIDEOS]}
    texts = [clip.captions[0] for clip in clips[:VIDEOS]]
    scores = eager_scores(bundle, paths, texts)
    with running(bundle, tmp_path / "gallery") as server, Client(server.address) as client:
        for path in paths.values():
            last = client.index(path)
        client.wait_searchable(last)
        found = client.search_many(texts)
        parity = compare(
            [[hit.id for hit in result.hits] for result in found],
            [np.array([hit.score for hit in result.hits]) for result in found],
            list(paths),
            scores,
        )
        assert (parity.equal, parity.off, parity.scores) == (VIDEOS, 0, VIDEOS**2)
        # A hit tells all frames in their order.
        times = found[0].hits[0].timestamps
        assert len(times) == manifest.frame_count
        assert list(times) == sorted(times)
        check_evaluation(client, "frozen", list(paths), texts, scores, tmp_path)
