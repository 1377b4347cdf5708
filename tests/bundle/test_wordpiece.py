"""BERT's tokenizer: the authors' ids, vocabularies of other models, and what users send."""

from __future__ import annotations

import hashlib
import json
import os
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framesift.export.bundle.errors import BundleError, InvalidQuery
from framesift.export.bundle.limits import MAX_TEXT_BYTES
from framesift.export.bundle.manifest import BERT_CLEANING, SENTENCE_CLEANING, TokenizerProfile
from framesift.export.bundle.text.tokenizers import load_tokenizer
from framesift.export.bundle.text.vocab_file import read_vocab, uncased_vocab, write_vocab
from framesift.export.bundle.text.word_splitting import with_full_stop, words
from framesift.export.bundle.text.wordpiece import WordPieceTokenizer

from .thread_time import thread_time_below

COMMITTED = Path(__file__).parents[1] / "golden"
FOLDERS = [COMMITTED, *([Path(os.environ["FRAMESIFT_GOLDEN"])] if "FRAMESIFT_GOLDEN" in os.environ else [])]
ROWS = [
    pytest.param(row, id=f"{folder.name}-{number}")
    for folder in FOLDERS
    for path in folder.glob("tokenizer/bert_uncased.json")
    for number, row in enumerate(json.loads(path.read_text(encoding="utf-8"))["rows"])
]


def profile(length: int = 512, cleaning: str = BERT_CLEANING) -> TokenizerProfile:
    return TokenizerProfile("wordpiece", ("vocab.txt.gz",), length, buckets=(length,), cleaning=cleaning)


@pytest.fixture(scope="module")
def bert() -> WordPieceTokenizer:
    return WordPieceTokenizer.load(profile(), uncased_vocab())


def small(tmp_path: Path, pieces: list[str], cleaning: str = BERT_CLEANING) -> WordPieceTokenizer:
    write_vocab(tmp_path / "vocab.txt", pieces)
    return WordPieceTokenizer.load(profile(16, cleaning), tmp_path / "vocab.txt")


def test_the_vocabulary_is_the_published_one() -> None:
    ids = read_vocab(uncased_vocab())
    assert [ids[piece] for piece in ("[PAD]", "[UNK]", "[CLS]", "[SEP]")] == [0, 100, 101, 102]
    published = "".join(f"{piece}\n" for piece in ids).encode()
    digest = hashlib.sha256(published).hexdigest()
    assert digest == "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3"


@pytest.mark.parametrize("row", ROWS)
def test_ids_equal_the_authors(bert: WordPieceTokenizer, row: dict) -> None:
    text = row["text"]
    if not text.strip():
        # The authors' models read an empty text, too; a search for nothing is a mistake.
        with pytest.raises(InvalidQuery, match="empty"):
            bert.encode([text])
        return
    ids = bert.encode([text])[0]
    if "literal" in text:
        # What the authors' tokenizer takes for its special tokens is spelled out here.
        spelled = bert.encode([text.replace("[", " [ ").replace("]", " ] ").replace("SEP", "sep")])[0]
        assert ids.tolist() == spelled.tolist()
        assert (ids == bert.end_id).sum() == 1
        return
    assert ids[ids != 0].tolist() == row["ids"]
    assert not ids[len(row["ids"]) :].any()
    for length in (20, 25, 40):
        cut = WordPieceTokenizer(read_vocab(uncased_vocab()), profile(length)).encode([text])
        assert cut[cut != 0].tolist() == row[f"cut_{length}"]


def test_the_longest_pieces_come_first_and_a_word_without_all_of_them_is_unknown(tmp_path: Path) -> None:
    tokenizer = small(tmp_path, ["a", "ab", "##b", "##bc", "."])
    assert tokenizer.encode(["AB abc abbc abx a."])[0].tolist() == [2, 5, 1, 5, 7, 1, 4, 8, 3, *[0] * 7]
    assert tokenizer.cuts("a " * 15)
    assert not tokenizer.cuts("a " * 14)


@pytest.mark.parametrize(
    ("text", "read"),
    [("a b", "a b."), (" a\t b? ", "a b?"), ("a!", "a!"), ("a .", "a ."), ("Ende:", "Ende:.")],
)
def test_a_sentence_without_an_end_gets_a_full_stop(tmp_path: Path, text: str, read: str) -> None:
    assert with_full_stop(text) == read
    pieces = ["a", "b", ".", "?", "!", "ende", ":"]
    plain = small(tmp_path, pieces).encode([read])
    assert small(tmp_path, pieces, SENTENCE_CLEANING).encode([text]).tolist() == plain.tolist()


def test_the_width_is_the_smallest_bucket() -> None:
    buckets = TokenizerProfile("wordpiece", ("vocab.txt.gz",), 40, buckets=(16, 32, 40), cleaning=BERT_CLEANING)
    tokenizer = WordPieceTokenizer(read_vocab(uncased_vocab()), buckets)
    for count, width in ((1, 16), (14, 16), (15, 32), (31, 40), (900, 40)):
        ids = tokenizer.encode(["dog " * count, "a cat"])
        assert ids.shape == (2, width)
        assert ids.dtype == np.int64
        assert ids[0].tolist().count(tokenizer.end_id) == 1


@pytest.mark.parametrize("text", ["", " \t\n", "\u200b", "\x00\ufffd", "\u0301"])
@pytest.mark.parametrize("cleaning", [BERT_CLEANING, SENTENCE_CLEANING])
def test_a_text_of_which_nothing_is_left_is_refused(text: str, cleaning: str) -> None:
    tokenizer = WordPieceTokenizer(read_vocab(uncased_vocab()), profile(16, cleaning))
    if cleaning == SENTENCE_CLEANING and text.split():
        # Its full stop is left.
        assert (tokenizer.encode([text]) != 0).sum() == 3
        return
    with pytest.raises(InvalidQuery, match="empty"):
        tokenizer.encode(["a dog", text])


def test_what_is_no_list_of_texts_and_what_is_too_long_is_refused(bert: WordPieceTokenizer) -> None:
    for texts in ([], "a dog"):
        with pytest.raises(InvalidQuery, match="list of at least one text"):
            bert.encode(texts)
    with pytest.raises(InvalidQuery, match=f"the limit is {MAX_TEXT_BYTES}"):
        bert.encode(["é" * (MAX_TEXT_BYTES // 2 + 1)])


@given(st.text(max_size=60))
@settings(max_examples=200, deadline=None)
def test_any_text_is_encoded_or_refused(bert: WordPieceTokenizer, text: str) -> None:
    try:
        ids = bert.encode([text])[0]
    except InvalidQuery:
        assert not list(words(text))
        return
    inner = ids[1 : ids.tolist().index(bert.end_id)]
    assert ids[0] == bert.start_id
    assert not {0, bert.start_id, bert.end_id} & set(inner.tolist())


_LETTERS = random.Random(0)
_NASTY = {
    "one word": "".join(_LETTERS.choice("abcdefghij") for _ in range(MAX_TEXT_BYTES)),
    "words of 100": ("z" * 100 + " ") * (MAX_TEXT_BYTES // 101),
    "unknown words": "".join(_LETTERS.choice("abcdefghij ") for _ in range(MAX_TEXT_BYTES - 3)) + "竹",
    "combining": "a" + "".join(_LETTERS.choice("\u0301\u0323\u0327") for _ in range(MAX_TEXT_BYTES // 2 - 1)),
    "punctuation": "." * MAX_TEXT_BYTES,
    "surrogates": "a" + "\ud800" * (MAX_TEXT_BYTES // 3 - 1),
}


@pytest.mark.parametrize("text", _NASTY.values(), ids=_NASTY.keys())
def test_nasty_text_costs_well_under_a_second(bert: WordPieceTokenizer, text: str) -> None:
    with thread_time_below(1):
        assert bert.encode([text]).shape == (1, 512)


@pytest.mark.parametrize(
    ("lines", "fault"),
    [
        ("[PAD]\n[UNK]\n[CLS]\n[SEP]\na\na\n", "line 5: the piece 'a' is there twice"),
        ("a\nb\n", "no vocabulary of word pieces: it has no .PAD., .UNK., .CLS., .SEP."),
        ("\xff", "can't be read"),
    ],
)
def test_a_file_that_is_no_vocabulary_is_refused(tmp_path: Path, lines: str, fault: str) -> None:
    (tmp_path / "vocab.txt").write_bytes(lines.encode("latin-1"))
    with pytest.raises(BundleError, match=fault):
        read_vocab(tmp_path / "vocab.txt")


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        ({"cleaning": "none"}, "cleaning 'none' is unknown, known: bert"),
        ({"buckets": (8,)}, "largest bucket"),
        ({"pad_id": 3}, r"pad id is 3, the vocabulary's \[PAD\] is 0"),
        ({"sliced_from": 77}, "doesn't slice"),
        ({"files": ("a", "b")}, "reads one file"),
    ],
)
def test_a_profile_that_makes_no_sense_is_refused(changed: dict, fault: str) -> None:
    values = {"kind": "wordpiece", "files": ("bert_uncased_vocab.txt.gz",), "cleaning": BERT_CLEANING} | changed
    with pytest.raises(BundleError, match=fault):
        load_tokenizer(TokenizerProfile(**values), uncased_vocab().parent)
