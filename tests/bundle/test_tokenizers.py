"""The one way to load a tokenizer: by its kind, from the files that its profile lists."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from framesift.export.bundle.errors import BundleError
from framesift.export.bundle.manifest import TokenizerProfile
from framesift.export.bundle.text.clip_bpe import ClipTokenizer
from framesift.export.bundle.text.merges_file import clip_merges
from framesift.export.bundle.text.tokenizers import load_tokenizer


def test_a_profile_names_the_tokenizer_and_its_vocabulary(tmp_path: Path) -> None:
    profile = TokenizerProfile(files=("vocabulary.gz",))
    shutil.copyfile(clip_merges(), tmp_path / "vocabulary.gz")
    loaded = load_tokenizer(profile, tmp_path)
    assert loaded.profile == profile
    own = ClipTokenizer.load(TokenizerProfile(), clip_merges())
    assert loaded.vocab_size == own.vocab_size
    np.testing.assert_array_equal(loaded.encode(["a dog"]), own.encode(["a dog"]))


@pytest.mark.parametrize(
    ("profile", "said"),
    [
        (TokenizerProfile(kind="morse"), "the tokenizer 'morse' is unknown, known: clip_bpe, wordpiece"),
        (TokenizerProfile(files=("absent.txt",)), r"absent.txt can't be read"),
        (TokenizerProfile(files=("a.txt", "b.txt")), r"reads one file, its profile lists \['a.txt', 'b.txt'\]"),
    ],
)
def test_a_profile_that_can_not_be_loaded_is_refused(profile: TokenizerProfile, said: str, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=said):
        load_tokenizer(profile, tmp_path)
