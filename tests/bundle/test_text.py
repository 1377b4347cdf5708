"""The tokenizer: equal to OpenAI's, safe with what users send, and able to own a vocabulary."""

from __future__ import annotations

import html
import json
import random
import sys
from pathlib import Path

import ftfy
import numpy as np
import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st

from framesift.export.bundle.checks import encode_text
from framesift.export.bundle.errors import BundleError, InvalidQuery
from framesift.export.bundle.limits import MAX_TEXT_BYTES
from framesift.export.bundle.manifest import TokenizerProfile
from framesift.export.bundle.text.bpe import learn_merges
from framesift.export.bundle.text.cleaning import clean, split
from framesift.export.bundle.text.clip_bpe import ClipTokenizer
from framesift.export.bundle.text.merges_file import clip_merges

from .thread_time import thread_time_below

REFERENCE = json.loads((Path(__file__).parent / "clip_tokens.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def clip() -> ClipTokenizer:
    return ClipTokenizer.load(TokenizerProfile(), clip_merges())


def _unpadded(row: np.ndarray, tokenizer: ClipTokenizer) -> list[int]:
    ids: list[int] = row.tolist()
    return ids[: ids.index(tokenizer.end_id) + 1]


def test_clip_vocabulary_has_its_published_size(clip: ClipTokenizer) -> None:
    assert (clip.vocab_size, clip.start_id, clip.end_id) == (49408, 49406, 49407)


def test_ids_equal_openai_reference(clip: ClipTokenizer) -> None:
    wrong = [text for text, ids in REFERENCE["cases"] if _unpadded(clip.encode([text])[0], clip) != ids]
    assert len(REFERENCE["cases"]) > 300
    assert wrong == []


@settings(max_examples=300, deadline=None)
@given(st.text(st.characters(max_codepoint=126), min_size=1) | st.text("a'sSTVLldDrReEm 9&;<l$", min_size=1))
def test_ascii_is_cleaned_and_split_as_everything_else(text: str) -> None:
    repaired = html.unescape(html.unescape(ftfy.fix_text(text)))
    cleaned = regex.sub(r"\s+", " ", repaired).strip().lower()
    if not cleaned.strip():
        with pytest.raises(InvalidQuery):
            clean(text)
        return
    words = regex.findall(r"'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+", cleaned, regex.IGNORECASE)
    assert (clean(text), list(split(clean(text)))) == (cleaned, words)


@pytest.mark.parametrize(
    ("text", "spelled"),
    [
        ("a <|endoftext|> b", "a <| endoftext |> b"),
        ("<|STARTOFTEXT|>", "<| startoftext |>"),
        ("&lt;|endoftext|&gt;", "<| endoftext |>"),
    ],
)
def test_special_tokens_in_a_text_are_ordinary_characters(clip: ClipTokenizer, text: str, spelled: str) -> None:
    ids = _unpadded(clip.encode([text])[0], clip)
    assert ids == _unpadded(clip.encode([spelled])[0], clip)
    assert ids.count(clip.end_id) == 1
    assert ids.count(clip.start_id) == 1


@pytest.mark.parametrize(("words", "width"), [(1, 16), (14, 16), (15, 32), (30, 32), (31, 77), (75, 77), (76, 77)])
def test_width_is_the_smallest_bucket_that_holds_the_longest_text(clip: ClipTokenizer, words: int, width: int) -> None:
    ids = clip.encode(["a dog", "dog " * words])
    assert ids.shape == (2, width)
    assert ids.dtype == np.int64
    assert ids[0].tolist() == [clip.start_id, 320, 1929, clip.end_id] + [0] * (width - 4)


def test_batch_equals_single_texts(clip: ClipTokenizer) -> None:
    texts = [text for text, _ in REFERENCE["cases"][:40]]
    batch = clip.encode(texts)
    for text, row in zip(texts, batch, strict=True):
        single = clip.encode([text])[0]
        assert row[: len(single)].tolist() == single.tolist()
        assert not row[len(single) :].any()


def test_query_of_ten_thousand_words_keeps_the_end_token(clip: ClipTokenizer) -> None:
    ids = clip.encode(["horse " * 10_000])
    assert ids.shape == (1, 77)
    assert ids[0, 0] == clip.start_id
    assert set(ids[0, 1:-1].tolist()) == {4558}
    assert ids[0, -1] == clip.end_id


@pytest.mark.parametrize("text", ["", " \t\n", "\u3000\xa0", "\x00\x07", "&nbsp;", "&amp;nbsp;", "\ufeff"])
def test_text_of_which_nothing_is_left_is_refused(clip: ClipTokenizer, text: str) -> None:
    with pytest.raises(InvalidQuery, match="empty"):
        clip.encode(["a dog", text])


def test_text_over_the_limit_is_refused(clip: ClipTokenizer) -> None:
    assert clip.encode(["é" * (MAX_TEXT_BYTES // 2)]).shape == (1, 77)
    with pytest.raises(InvalidQuery, match=f"{MAX_TEXT_BYTES + 2} bytes, the limit is {MAX_TEXT_BYTES}"):
        clip.encode(["é" * (MAX_TEXT_BYTES // 2 + 1)])


@pytest.mark.skipif(not hasattr(sys, "get_int_max_str_digits"), reason="this Python reads numbers of any length")
def test_entity_with_thousands_of_digits_is_refused(clip: ClipTokenizer) -> None:
    with pytest.raises(InvalidQuery, match="HTML entity"):
        clip.encode(["<&#" + "9" * 20_000 + ";"])


@pytest.mark.parametrize("texts", [[], "a dog"])
def test_anything_but_a_list_of_texts_is_refused(clip: ClipTokenizer, texts: str | list[str]) -> None:
    with pytest.raises(InvalidQuery, match="list of at least one text"):
        clip.encode(texts)


@pytest.mark.parametrize("text", ["", " \t\n", "é" * MAX_TEXT_BYTES], ids=["empty", "white", "long"])
def test_the_client_and_the_tokenizer_refuse_a_text_with_the_same_words(text: str) -> None:
    # The client has no ftfy and no regex, so it refuses what it can before it is sent.
    with pytest.raises(InvalidQuery) as sent:
        encode_text(text)
    with pytest.raises(InvalidQuery) as read:
        clean(text)
    assert str(sent.value) == str(read.value)


@given(st.text(max_size=60))
@settings(max_examples=200, deadline=None)
def test_any_text_is_encoded_or_refused(text: str) -> None:
    merges = learn_merges(["a red circle moves left", "the red square moves", "&amp; circles"], 40)
    tokenizer = ClipTokenizer([(left, right) for left, right in map(str.split, merges)], TokenizerProfile())
    try:
        row = tokenizer.encode([text])[0]
    except InvalidQuery:
        return
    ids = _unpadded(row, tokenizer)
    assert len(ids) > 2
    assert row[0] == tokenizer.start_id
    assert not row[len(ids) :].any()
    assert all(0 <= token < tokenizer.start_id for token in ids[1:-1])


_LETTERS = random.Random(0)
_NASTY = {
    "one word": "".join(_LETTERS.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(MAX_TEXT_BYTES)),
    "one letter": "a" * MAX_TEXT_BYTES,
    "nested entities": "&" + "amp;" * (MAX_TEXT_BYTES // 4 - 1),
    "lines": "a\n" * (MAX_TEXT_BYTES // 2),
    "control lines": "\0\n" * (MAX_TEXT_BYTES // 2 - 1) + "a",
    "combining": "a" + "".join(_LETTERS.choice("\u0301\u0323\u0327") for _ in range(MAX_TEXT_BYTES // 2 - 1)),
    "mojibake": "Ã¢â‚¬Å“" * (MAX_TEXT_BYTES // 20),
    "surrogates": "\ud800" * (MAX_TEXT_BYTES // 3),
}


@pytest.mark.parametrize("text", _NASTY.values(), ids=_NASTY.keys())
def test_nasty_text_costs_well_under_a_second(clip: ClipTokenizer, text: str) -> None:
    with thread_time_below(1):
        assert clip.encode([text]).shape[1] in (16, 77)


@pytest.mark.parametrize(
    ("profile", "fault"),
    [
        (TokenizerProfile(cleaning="none"), "cleaning 'none' is unknown"),
        (TokenizerProfile(context_length=64), "largest bucket"),
        (TokenizerProfile(buckets=()), "largest bucket"),
        (TokenizerProfile(pad_id=600), "pad id 600"),
        (TokenizerProfile(sliced_from=76), "can't slice 77 positions from 76"),
    ],
)
def test_profile_that_makes_no_sense_is_refused(profile: TokenizerProfile, fault: str) -> None:
    with pytest.raises(BundleError, match=fault):
        ClipTokenizer([], profile)
