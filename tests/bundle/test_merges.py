"""Byte-pair merges: applied as the textbook does, learned from a corpus, read from and written to files."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framesift.export.bundle.errors import BundleError
from framesift.export.bundle.manifest import TokenizerProfile
from framesift.export.bundle.text.bpe import Merge, learn_merges, merge, spell
from framesift.export.bundle.text.clip_bpe import ClipTokenizer
from framesift.export.bundle.text.merges_file import clip_merges, merges_text, read_merges, write_merges


def _unpadded(row: np.ndarray, tokenizer: ClipTokenizer) -> list[int]:
    ids: list[int] = row.tolist()
    return ids[: ids.index(tokenizer.end_id) + 1]


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


def test_learned_merges_make_a_vocabulary_of_their_own(tmp_path: Path) -> None:
    merges = learn_merges(_CORPUS, 40)
    assert merges == learn_merges(iter(_CORPUS), 40)
    assert learn_merges(_CORPUS, 5) == merges[:5]
    for name in ("merges.txt", "merges.txt.gz"):
        write_merges(tmp_path / name, merges)
        own = ClipTokenizer.load(TokenizerProfile(context_length=16, buckets=(8, 16)), tmp_path / name)
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
