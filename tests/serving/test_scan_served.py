"""A system that reads every pair whole and has no first stage: the gallery up to a limit, and candidates, served."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from framesift.__main__ import main
from framesift.export.build import build_bundle
from framesift.export.bundle.errors import CheckpointError, InvalidRequest
from framesift.serving.client.sync import Client
from framesift.serving.ranking_parity import compare
from framesift.serving.serve import running

from ..small_systems import given_options, write_checkpoint
from .test_systems_served import eager_scores

pytestmark = [pytest.mark.server, pytest.mark.long, pytest.mark.slow, pytest.mark.timeout(600)]

LIMIT = 4


def test_the_gallery_is_scored_up_to_the_limit_and_candidates_beyond(clips: list, tmp_path: Path) -> None:
    checkpoint, vocabulary = write_checkpoint("all_in_one irtr", tmp_path)
    options = given_options("all_in_one irtr")
    with pytest.raises(CheckpointError, match="keeps no vectors to choose videos by and has no short list"):
        build_bundle(checkpoint, tmp_path / "bundle", options=options, merges=vocabulary, shortlist=3)
    bundle = build_bundle(checkpoint, tmp_path / "bundle", options=options, merges=vocabulary, scan_limit=LIMIT)
    assert bundle.manifest.options["scan_limit"] == LIMIT
    paths = {clip.video.name: clip.video for clip in clips[: LIMIT + 2]}
    texts = [clip.captions[0] for clip in clips[:3]]
    scores = eager_scores(bundle, paths, texts)
    with running(bundle, tmp_path / "gallery") as server, Client(server.address) as client:
        for path in list(paths.values())[:LIMIT]:
            last = client.index(path)
        client.wait_searchable(last)
        _agree(client.search_many(texts), list(paths)[:LIMIT], scores[:, :LIMIT])
        for path in list(paths.values())[LIMIT:]:
            last = client.index(path)
        client.wait_searchable(last)
        ids = list(paths)[2:]
        _agree(client.search_many(texts, candidates=ids), ids, scores[:, 2:])
        with pytest.raises(InvalidRequest, match=f"at most {LIMIT} videos for a text, and the search would take 6"):
            client.search(texts[0], top=1)
        with pytest.raises(InvalidRequest, match="names 5 candidates"):
            client.search(texts[0], candidates=list(paths)[1:])
        (tmp_path / "ids.txt").write_text("\n".join(ids))
        command = ["search", texts[0], "--server", server.address, "--candidates", str(tmp_path / "ids.txt")]
        shown = CliRunner().invoke(main, command)
        assert (shown.exit_code, len(shown.stdout.splitlines())) == (0, 1 + len(ids)), shown.output


def _agree(found: list, ids: list[str], scores: np.ndarray) -> None:
    scale = np.abs(scores).max()
    parity = compare(
        [[hit.id for hit in result.hits] for result in found],
        [np.array([hit.score for hit in result.hits]) / scale for result in found],
        ids,
        scores / scale,
    )
    assert (parity.equal, parity.off, parity.scores) == (len(found), 0, scores.size)
