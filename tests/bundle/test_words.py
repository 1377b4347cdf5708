"""HowTo100M's tokenizer: whole words, in their case, and those alone that the table has."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from framesift.export.bundle.errors import BundleError, InvalidQuery
from framesift.export.bundle.manifest import WORDS_CLEANING, TokenizerProfile
from framesift.export.bundle.text.tokenizers import load_tokenizer
from framesift.export.bundle.text.words import WordTokenizer

WORDS = ("The", "man", "Man", "don't", "café", "New_York", "2", "街")
PROFILE = TokenizerProfile("words", ("words.txt",), 4, buckets=(4,), cleaning=WORDS_CLEANING)


@pytest.fixture
def tokenizer() -> WordTokenizer:
    return WordTokenizer({word: number for number, word in enumerate(WORDS, start=1)}, PROFILE)


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("The man and the Man", [1, 2, 3, 0]),
        ("zzz -- man!", [2, 0, 0, 0]),
        ("don't, café: New_York; 2", [4, 5, 6, 7]),
        ("don’t cafe\u0301", [0, 0, 0, 0]),
        ("街 man man man man", [8, 2, 2, 2]),
        ("x y z man", [2, 0, 0, 0]),
        ("???", [0, 0, 0, 0]),
    ],
)
def test_known_words_have_their_rows_and_others_none(tokenizer: WordTokenizer, text: str, ids: list[int]) -> None:
    assert tokenizer.encode([text, "The"]).tolist() == [ids, [1, 0, 0, 0]]


def test_a_text_is_cut_where_it_has_more_known_words(tokenizer: WordTokenizer) -> None:
    assert not tokenizer.cuts("man x man x man x man")
    assert tokenizer.cuts("man man man man x man")
    assert tokenizer.vocab_size == 9


@pytest.mark.parametrize("texts", [[], "man", [""], [" \n"], ["man " * 20000]])
def test_what_is_no_text_is_refused(tokenizer: WordTokenizer, texts: list[str]) -> None:
    with pytest.raises(InvalidQuery):
        tokenizer.encode(texts)


def test_words_come_from_a_file_plain_or_gzipped(tmp_path: Path, tokenizer: WordTokenizer) -> None:
    raw = "\n".join([*WORDS, ""]).encode()
    (tmp_path / "words.txt").write_bytes(raw)
    assert load_tokenizer(PROFILE, tmp_path).encode(["café"]).tolist() == [[5, 0, 0, 0]]
    (tmp_path / "words.txt").write_bytes(gzip.compress(raw))
    with pytest.raises(BundleError, match="can't be read"):
        load_tokenizer(PROFILE, tmp_path)


@pytest.mark.parametrize("raw", [b"", b"a\n\nb\n", b"a\nb\na\n", b"\xff\n"])
def test_a_damaged_file_is_refused(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "words.txt").write_bytes(raw)
    with pytest.raises(BundleError, match="words"):
        load_tokenizer(PROFILE, tmp_path)


@pytest.mark.parametrize("change", [{"pad_id": 1}, {"buckets": (2, 4)}, {"sliced_from": 9}, {"cleaning": "lower"}])
def test_a_profile_that_asks_for_more_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(BundleError):
        WordTokenizer({"a": 1}, TokenizerProfile(**{**vars(PROFILE), **change}))
