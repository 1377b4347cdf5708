"""Word vectors beside a checkpoint: word2vec's files, and what is said where they are missing, others, or damaged."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from framesift.export.build import resolve
from framesift.export.bundle.errors import CheckpointError
from framesift.export.checkpoint import Checkpoint
from framesift.export.systems.examples import small_system, write_word_vectors
from framesift.export.systems.howto100m import WORDS
from framesift.export.systems.registry import AUTO
from framesift.export.word_vectors import read_word_vectors, with_word_vectors

VECTORS = np.random.default_rng(2).standard_normal((60, 30)).astype(np.float32)
OPTIONS = {"max_tokens": 20, "width_2d": 40}


@pytest.fixture
def checkpoint() -> Checkpoint:
    """As the authors leave it: no table, and a batch normalisation that nothing applies."""
    state = {key: value for key, value in small_system("howto100m").state_dict().items() if key != WORDS}
    return Checkpoint({**state, "GU_text.cg.batch_norm.weight": torch.ones(96)})


def completed(checkpoint: Checkpoint, folder: Path, given: Path | None = None, **options: Any) -> Checkpoint:
    return with_word_vectors(checkpoint, given, folder, AUTO, {**OPTIONS, **options})[0]


@pytest.mark.parametrize(
    "name",
    [
        "GoogleNews-vectors-negative300.bin",
        "GoogleNews-vectors-negative300.bin.gz",
        "word_vectors.bin",
        "word_vectors.txt",
    ],
)
def test_a_table_beside_the_checkpoint_is_found(checkpoint: Checkpoint, tmp_path: Path, name: str) -> None:
    if ".bin" in name:
        write_word_vectors(tmp_path / name, VECTORS)
        if name.endswith(".gz"):
            (tmp_path / name).write_bytes(gzip.compress((tmp_path / name).read_bytes()))
    else:
        rows = [" ".join([f"word{n}", *map(str, row.tolist())]) for n, row in enumerate(VECTORS)]
        (tmp_path / name).write_text("\n".join(["60 30", *rows, ""]))
    found = completed(checkpoint, tmp_path)
    assert found.state[WORDS].shape == (61, 30)
    assert not found.state[WORDS][0].any()
    np.testing.assert_array_equal(found.state[WORDS][1:].numpy(), VECTORS)
    assert len((found.merges or "").splitlines()) == 60
    assert resolve(found, OPTIONS).build().vocab_size == 61
    # What has a table already is left as it is.
    assert completed(found, tmp_path / "nowhere") is found


def test_the_first_words_alone_are_kept(checkpoint: Checkpoint, tmp_path: Path) -> None:
    write_word_vectors(tmp_path / "named.bin", VECTORS)
    found = completed(checkpoint, tmp_path, tmp_path / "named.bin", words=7)
    np.testing.assert_array_equal(found.state[WORDS][1:].numpy(), VECTORS[:7])


def test_of_a_word_that_comes_twice_the_first_counts(tmp_path: Path) -> None:
    (tmp_path / "w.txt").write_text("4 2\na 1 2\nb 3 4\na 5 6\nc 7 8\n")
    found = read_word_vectors(tmp_path / "w.txt", 10)
    assert (found.words, found.vectors.tolist()) == (("a", "b", "c"), [[1, 2], [3, 4], [7, 8]])


def test_without_a_table_it_says_what_was_recognised_and_what_to_bring(checkpoint: Checkpoint, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError) as raised:
        completed(checkpoint, tmp_path)
    assert "recognised as howto100m (it has HowTo100M's text_pooling), but its words have no vectors" in str(
        raised.value
    )
    assert "put GoogleNews-vectors-negative300.bin beside it" in str(raised.value)
    assert "--vocab" in str(raised.value)


def test_a_table_of_another_width_is_refused(checkpoint: Checkpoint, tmp_path: Path) -> None:
    write_word_vectors(tmp_path / "word_vectors.bin", VECTORS[:, :20])
    with pytest.raises(CheckpointError, match="reads word vectors of 30 numbers, and those of .* have 20"):
        completed(checkpoint, tmp_path)


DAMAGED = {
    "no-header": b"hello world and more\n",
    "no-numbers": b"two words\n",
    "no-words": b"0 300\n",
    "cut": b"2 2\na " + bytes(8) + b"b " + bytes(7),
    "a-word-without-end": b"2 2\n" + b"a" * 5000,
    "too-wide": b"2 99999999\na ",
    "nan": b"1 1\na \x00\x00\xc0\x7f",
}


@pytest.mark.parametrize("raw", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_table_is_refused(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "word_vectors.bin").write_bytes(raw)
    with pytest.raises(CheckpointError, match="word_vectors.bin"):
        read_word_vectors(tmp_path / "word_vectors.bin", 10)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"GU_video.fc.weight": None}, "it has no GU_video.fc.weight"),
        ({"GU_text.cg.fc.bias": None}, "missing: GU_text.cg.fc.bias"),
        ({"GU_text.fc.weight": torch.ones(96, 70)}, "mis-shaped: GU_text.fc.weight"),
        ({"video_pooling.fc.weight": torch.ones(2, 2)}, "unexpected: video_pooling.fc.weight"),
    ],
)
def test_a_damaged_checkpoint_is_refused(
    checkpoint: Checkpoint, tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    write_word_vectors(tmp_path / "word_vectors.bin", VECTORS)
    state = {key: value for key, value in {**checkpoint.state, **change}.items() if value is not None}
    with pytest.raises(CheckpointError) as raised:
        resolve(completed(Checkpoint(state), tmp_path), OPTIONS).build()
    assert "recognised as howto100m" in str(raised.value)
    assert said in str(raised.value)


def test_the_widths_of_both_kinds_are_held_to_the_weights(checkpoint: Checkpoint, tmp_path: Path) -> None:
    write_word_vectors(tmp_path / "word_vectors.bin", VECTORS)
    with pytest.raises(CheckpointError, match="width_2d is 64, the weights read 64 numbers of 2D and 3D features"):
        resolve(completed(checkpoint, tmp_path), {**OPTIONS, "width_2d": 64}).build()
    assert resolve(completed(checkpoint, tmp_path), {}).options["width_2d"] == 32
