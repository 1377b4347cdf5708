"""The shapes corpus and manifests."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

from framesift.export.bundle.errors import InvalidInput, InvalidVideo
from framesift.export.bundle.manifest import FrameProfile
from framesift.export.corpus.cache import decoded
from framesift.export.corpus.generate import KINDS, MANIFEST, stories, write_corpus
from framesift.export.corpus.manifest import read_manifest
from framesift.export.corpus.shapes import (
    Event,
    caption,
    group,
    hard_negative,
    random_story,
    render,
    split_of,
)
from framesift.export.corpus.stills import random_still

MOTION = KINDS["motion"]


def test_splits_share_no_caption_and_no_group() -> None:
    train = stories(MOTION, 2000, "train", 1, variants=4)
    test = stories(MOTION, 500, "test", 0, variants=2)
    assert not {group(s) for s in train} & {group(s) for s in test}
    assert len({caption(s) for s in test}) == 500
    assert {split_of(s) for s in test} == {"test"}


def test_a_longer_corpus_begins_with_the_shorter() -> None:
    assert stories(MOTION, 240, "test", 0, variants=2) == stories(MOTION, 500, "test", 0, variants=2)[:240]


def test_hard_negatives_show_the_same_things() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        story = random_story(rng, "train")
        other = hard_negative(rng, story)
        assert other != story
        assert Counter(e.thing for e in other) == Counter(e.thing for e in story)


def test_a_clip_shows_what_its_caption_says() -> None:
    frames = render((Event("large", "red", "square", "moves left"),), np.random.default_rng(3)).astype(int)
    red = (frames[..., 0] - frames[..., 1:].max(-1)) > 80
    centers = [columns.mean() for columns in (np.nonzero(mask)[1] for mask in red)]
    assert all(a > b for a, b in itertools.pairwise(centers))


def test_files_are_h264_and_reproducible(tmp_path: Path) -> None:
    first = write_corpus(tmp_path / "a", 6, "test", 5)
    second = write_corpus(tmp_path / "b", 6, "test", 5)
    assert [c.captions for c in first] == [c.captions for c in second]
    for one, other in zip(first, second, strict=True):
        assert one.video.read_bytes() == other.video.read_bytes()
        with av.open(str(one.video)) as container:
            assert container.streams.video[0].codec_context.name == "h264"
            assert 24 <= sum(1 for _ in container.decode(video=0)) <= 42
    assert read_manifest(tmp_path / "a" / MANIFEST) == first


def test_more_clips_than_captions_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # All stills of a split are many, so these are of a few stories and of what comes of their variation.
    few = [random_still(np.random.default_rng(seed), "test") for seed in range(3)]
    monkeypatch.setitem(KINDS, "few", replace(KINDS["stills"], invent=lambda rng, _: few[rng.integers(3)]))
    with pytest.raises(InvalidInput, match=r"the test split has only about \d+ captions, 1000 were asked for"):
        write_corpus(tmp_path, 1000, "test", 0, kind="few")
    assert list(tmp_path.iterdir()) == []


def test_every_faulty_line_is_listed(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"x")
    lines = [
        '{"video": "a.mp4", "caption": "fine"}',
        "not json",
        '{"captions": ["no video"]}',
        '{"video": "a.mp4", "captions": []}',
        '{"video": "absent.mp4", "captions": ["x"]}',
        '["a list"]',
    ]
    (tmp_path / "m.jsonl").write_text("\n".join(lines))
    with pytest.raises(InvalidInput) as caught:
        read_manifest(tmp_path / "m.jsonl")
    assert [f"line {n}:" in str(caught.value) for n in range(1, 7)] == [False, True, True, True, True, True]


def test_decoded_corpus_leaves_out_bad_files_and_is_kept(tmp_path: Path) -> None:
    clips = write_corpus(tmp_path, 4, "test", 2)
    clips[1].video.write_bytes(b"not a video")
    profile = FrameProfile(count=3, size=16)
    corpus = decoded(clips, profile, tmp_path / "cache")
    assert [c.video for c in corpus.clips] == [clips[i].video for i in (0, 2, 3)]
    assert corpus.frames.shape == (3, 3, 3, 16, 16)
    assert len(corpus.bad) == 1
    assert str(clips[1].video) in corpus.bad[0]
    times = {p: p.stat().st_mtime_ns for p in (tmp_path / "cache").iterdir()}
    np.testing.assert_array_equal(decoded(clips, profile, tmp_path / "cache").frames, corpus.frames)
    assert times == {p: p.stat().st_mtime_ns for p in (tmp_path / "cache").iterdir()}
    for clip in clips:
        clip.video.write_bytes(b"")
    with pytest.raises(InvalidVideo, match="no clip of the corpus"):
        decoded(clips, profile, tmp_path / "cache")


def test_manifest_round_trip_keeps_unicode(tmp_path: Path) -> None:
    (tmp_path / "ü.mp4").write_bytes(b"x")
    (tmp_path / "m.jsonl").write_text(
        json.dumps({"video": "ü.mp4", "captions": ["naïve 🎬"], "group": 7}), encoding="utf-8"
    )
    (clip,) = read_manifest(tmp_path / "m.jsonl")
    assert (clip.video.name, clip.captions, clip.group) == ("ü.mp4", ("naïve 🎬",), "7")
