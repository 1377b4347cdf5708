"""Texts sliced from a longer tokenisation, which may lose their end token (STAN)."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from framesift.export.bundle.manifest import TokenizerProfile
from framesift.export.bundle.text.clip_bpe import ClipTokenizer
from framesift.export.bundle.text.merges_file import clip_merges

DOG = 1929


@pytest.fixture(scope="module")
def long() -> ClipTokenizer:
    return ClipTokenizer.load(TokenizerProfile(buckets=(77,)), clip_merges())


@pytest.fixture(scope="module")
def sliced() -> ClipTokenizer:
    return ClipTokenizer.load(TokenizerProfile(context_length=32, buckets=(16, 32), sliced_from=77), clip_merges())


@pytest.mark.parametrize("words", [1, 14, 15, 29, 30, 31, 32, 74, 75, 76, 500])
def test_slice_is_the_beginning_of_the_whole(long: ClipTokenizer, sliced: ClipTokenizer, words: int) -> None:
    ids = sliced.encode(["dog " * words])
    assert ids.shape == (1, 16 if words <= 14 else 32)
    assert np.array_equal(ids, long.encode(["dog " * words])[:, : ids.shape[1]])
    assert (sliced.end_id in ids) == (words <= 30)


def test_long_texts_differ_only_behind_the_position_that_is_read(sliced: ClipTokenizer) -> None:
    ids = sliced.encode(["dog " * 31, "cat " * 40, "a dog"])
    assert ids.shape == (3, 32)
    assert ids.argmax(1).tolist() == [0, 0, 3]
    assert ids[0].tolist() == [sliced.start_id] + [DOG] * 31
    assert not ids[2, 4:].any()


def test_one_warning_tells_how_many_texts_lost_their_end(
    sliced: ClipTokenizer, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="framesift"):
        sliced.encode(["dog " * 31, "a dog", "cat " * 40])
    assert [record.name for record in caplog.records] == ["framesift.export.bundle.text.clip_bpe"]
    assert "2 of 3 texts are longer than 30 tokens and lose their end token" in caplog.text
    assert "can't tell them apart" in caplog.text


def test_nothing_is_logged_where_every_text_keeps_its_end(
    long: ClipTokenizer, sliced: ClipTokenizer, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="framesift"):
        sliced.encode(["dog " * 30, "a dog"])
        long.encode(["dog " * 500])
    assert caplog.records == []


def test_slice_of_the_same_length_cuts_nothing(long: ClipTokenizer) -> None:
    same = ClipTokenizer.load(TokenizerProfile(buckets=(77,), sliced_from=77), clip_merges())
    texts = ["a dog", "dog " * 500]
    assert np.array_equal(same.encode(texts), long.encode(texts))
