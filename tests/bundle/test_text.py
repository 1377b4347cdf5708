"""The tokenizer: equal to OpenAI's, safe with what users send, and able to own a vocabulary."""

from __future__ import annotations

import gzip
import json
import random
import sys
import time
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framesift.export.bundle.bpe import Merge, learn_merges, merge, spell
from framesift.export.bundle.errors import BundleError, InvalidQuery
from framesift.export.bundle.manifest import TokenizerProfile
from framesift.export.bundle.merges_file import clip_merges, merges_text, read_merges, write_merges
from framesift.export.bundle.text import Tokenizer
from framesift.export.bundle.words import MAX_TEXT_BYTES

REFERENCE = json.loads((Path(__file__).parent / "clip_tokens.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def clip() -> Tokenizer:
    return Tokenizer.load(clip_merges(), TokenizerProfile())


def _unpadded(row: np.ndarray, tokenizer: Tokenizer) -> list[int]:
    ids: list[int] = row.tolist()
    return ids[: ids.index(tokenizer.end_id) + 1]


def test_clip_vocabulary_has_its_published_size(clip: Tokenizer) -> None:
    assert (clip.vocab_size, clip.start_id, clip.end_id) == (49408, 49406, 49407)


def test_ids_equal_openai_reference(clip: Tokenizer) -> None:
    wrong = [text for text, ids in REFERENCE["cases"] if _unpadded(clip.encode([text])[0], clip) != ids]
    assert len(REFERENCE["cases"]) > 300
    assert wrong == []


@pytest.mark.parametrize(
    ("text", "spelled"),
    [
        ("a <|endoftext|> b", "a <| endoftext |> b"),
        ("<|STARTOFTEXT|>", "<| startoftext |>"),
        ("&lt;|endoftext|&gt;", "<| endoftext |>"),
    ],
)
def test_special_tokens_in_a_text_are_ordinary_characters(clip: Tokenizer, text: str, spelled: str) -> None:
    ids = _unpadded(clip.encode([text])[0], clip)
    assert ids == _unpadded(clip.encode([spelled])[0], clip)
    assert ids.count(clip.end_id) == 1
    assert ids.count(clip.start_id) == 1


@pytest.mark.parametrize(("words", "width"), [(1, 16), (14, 16), (15, 32), (30, 32), (31, 77), (75, 77), (76, 77)])
def test_width_is_the_smallest_bucket_that_holds_the_longest_text(clip: Tokenizer, words: int, width: int) -> None:
    ids = clip.encode(["a dog", "dog " * words])
    assert ids.shape == (2, width)
    assert ids.dtype == np.int64
    assert ids[0].tolist() == [clip.start_id, 320, 1929, clip.end_id] + [0] * (width - 4)


def test_batch_equals_single_texts(clip: Tokenizer) -> None:
    texts = [text for text, _ in REFERENCE["cases"][:40]]
    batch = clip.encode(texts)
    for text, row in zip(texts, batch, strict=True):
        single = clip.encode([text])[0]
        assert row[: len(single)].tolist() == single.tolist()
        assert not row[len(single) :].any()


def test_query_of_ten_thousand_words_keeps_the_end_token(clip: Tokenizer) -> None:
    ids = clip.encode(["horse " * 10_000])
    assert ids.shape == (1, 77)
    assert ids[0, 0] == clip.start_id
    assert set(ids[0, 1:-1].tolist()) == {4558}
    assert ids[0, -1] == clip.end_id


@pytest.mark.parametrize("text", ["", " \t\n", "\u3000\xa0", "\x00\x07", "&nbsp;", "&amp;nbsp;", "\ufeff"])
def test_text_of_which_nothing_is_left_is_refused(clip: Tokenizer, text: str) -> None:
    with pytest.raises(InvalidQuery, match="empty"):
        clip.encode(["a dog", text])


def test_text_over_the_limit_is_refused(clip: Tokenizer) -> None:
    assert clip.encode(["é" * (MAX_TEXT_BYTES // 2)]).shape == (1, 77)
    with pytest.raises(InvalidQuery, match=f"{MAX_TEXT_BYTES + 2} bytes, the limit is {MAX_TEXT_BYTES}"):
        clip.encode(["é" * (MAX_TEXT_BYTES // 2 + 1)])


@pytest.mark.skipif(not hasattr(sys, "get_int_max_str_digits"), reason="this Python reads numbers of any length")
def test_entity_with_thousands_of_digits_is_refused(clip: Tokenizer) -> None:
    with pytest.raises(InvalidQuery, match="HTML entity"):
        clip.encode(["<&#" + "9" * 20_000 + ";"])


@pytest.mark.parametrize("texts", [[], "a dog"])
def test_anything_but_a_list_of_texts_is_refused(clip: Tokenizer, texts: str | list[str]) -> None:
    with pytest.raises(InvalidQuery, match="list of at least one text"):
        clip.encode(texts)


def test_bytes_are_read_as_utf8(clip: Tokenizer) -> None:
    assert clip.encode_bytes("ein Hündchen 🐶".encode()).tolist() == clip.encode(["ein Hündchen 🐶"]).tolist()
    with pytest.raises(InvalidQuery, match="not UTF-8: invalid start byte at byte 2"):
        clip.encode_bytes(b"a \xff")


@given(st.text(max_size=60))
@settings(max_examples=200, deadline=None)
def test_any_text_is_encoded_or_refused(text: str) -> None:
    tokenizer = Tokenizer(_SMALL, TokenizerProfile())
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
def test_nasty_text_costs_well_under_a_second(clip: Tokenizer, text: str) -> None:
    started = time.process_time()
    assert clip.encode([text]).shape[1] in (16, 77)
    assert time.process_time() - started < 1


def _textbook(symbols: list[str], ranks: Mapping[Merge, int]) -> list[str]:
    """Byte-pair encoding as it is usually written: merge the best pair everywhere, then look again."""
    while True:
        pairs = [pair for pair in pairwise(symbols) if pair in ranks]
        if not pairs:
            return symbols
        best = min(pairs, key=ranks.__getitem__)
        merged: list[str] = []
        place = 0
        while place < len(symbols):
            step = 2 if tuple(symbols[place : place + 2]) == best else 1
            merged.append("".join(symbols[place : place + step]))
            place += step
        symbols = merged


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_merging_equals_the_textbook_algorithm(data: st.DataObject) -> None:
    known = ["a", "b", "a</w>", "b</w>"]
    ranks: dict[Merge, int] = {}
    for _ in range(data.draw(st.integers(0, 12))):
        left = data.draw(st.sampled_from([token for token in known if not token.endswith("</w>")]))
        pair = (left, data.draw(st.sampled_from(known)))
        ranks.setdefault(pair, len(ranks))
        known.append("".join(pair))
    word = data.draw(st.text("ab", min_size=1, max_size=40))
    assert merge(spell(word), ranks) == _textbook(spell(word), ranks)


_CORPUS = [
    "a red circle moves left",
    "a blue circle moves right",
    "the red square moves",
    "&amp; circles",
    " ",
]
_SMALL = [(left, right) for left, right in (line.split() for line in learn_merges(_CORPUS, 40))]


def test_learned_merges_make_a_vocabulary_of_their_own(tmp_path: Path) -> None:
    merges = learn_merges(_CORPUS, 40)
    assert merges == learn_merges(iter(_CORPUS), 40)
    assert learn_merges(_CORPUS, 5) == merges[:5]
    for name in ("merges.txt", "merges.txt.gz"):
        write_merges(tmp_path / name, merges)
        own = Tokenizer.load(tmp_path / name, TokenizerProfile(context_length=16, buckets=(8, 16)))
        assert own.vocab_size == 512 + len(merges) + 2
        assert own.end_id == own.vocab_size - 1
        assert _unpadded(own.encode(["circle"])[0], own)[1:-1] == [512 + merges.index("circl e</w>")]
        # Nothing is unknown to a byte-level vocabulary.
        assert len(_unpadded(own.encode(["字"])[0], own)) == 2 + 3


def test_learning_takes_the_most_frequent_pair_and_stops_when_none_repeats() -> None:
    assert learn_merges(["ab ab ab", "cd cd"], 10) == ["a b</w>", "c d</w>"]
    assert learn_merges(["xy zw xy zw"], 1) == ["x y</w>"]
    assert learn_merges(["abc"], 10) == []


def test_same_merges_give_the_same_file(tmp_path: Path) -> None:
    for name in ("one.gz", "two.gz"):
        write_merges(tmp_path / name, ["a b", "ab c</w>"])
    assert (tmp_path / "one.gz").read_bytes() == (tmp_path / "two.gz").read_bytes()


def test_text_of_a_merges_file_is_a_merges_file(tmp_path: Path) -> None:
    path = tmp_path / "plain.txt"
    path.write_text(merges_text(clip_merges()), encoding="utf-8")
    assert read_merges(path) == read_merges(clip_merges())


@pytest.mark.parametrize("header", ["", "#version: 0.2\n", '"bpe.txt#version: 0.2\n'])
def test_header_of_a_merges_file_is_skipped(tmp_path: Path, header: str) -> None:
    path = tmp_path / "merges.txt"
    path.write_text(header + "a b\nab c</w>\n", encoding="utf-8")
    assert read_merges(path) == [("a", "b"), ("ab", "c</w>")]


def test_only_the_merges_that_clip_uses_are_read(tmp_path: Path) -> None:
    path = tmp_path / "long.txt"
    shipped = gzip.decompress(clip_merges().read_bytes()).decode()
    path.write_text(shipped + "circl e\nnot a merge\n", encoding="utf-8")
    assert read_merges(path) == read_merges(clip_merges())


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"#version: 0.2\na b\na b c\n", "line 3: 'a b c' is not a merge"),
        (b"ab c\n", "line 1: 'ab c' is not a merge"),
        (b"\xff\xfe", "can't be read"),
    ],
)
def test_broken_merges_file_is_refused(tmp_path: Path, content: bytes, fault: str) -> None:
    path = tmp_path / "merges.txt"
    path.write_bytes(content)
    with pytest.raises(BundleError, match=fault):
        read_merges(path)


def test_missing_or_cut_merges_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="can't be read"):
        read_merges(tmp_path / "none.gz")
    cut = tmp_path / "cut.gz"
    cut.write_bytes(clip_merges().read_bytes()[:1000])
    with pytest.raises(BundleError, match="can't be read"):
        read_merges(cut)


@pytest.mark.parametrize(
    ("profile", "fault"),
    [
        (TokenizerProfile(cleaning="none"), "cleaning 'none' is unknown"),
        (TokenizerProfile(context_length=64), "largest bucket"),
        (TokenizerProfile(buckets=()), "largest bucket"),
        (TokenizerProfile(pad_id=600), "pad id 600"),
    ],
)
def test_profile_that_makes_no_sense_is_refused(profile: TokenizerProfile, fault: str) -> None:
    with pytest.raises(BundleError, match=fault):
        Tokenizer([], profile)
