"""Score matrices on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from framesift.export.bundle.errors import InvalidInput
from framesift.export.evaluation.rules import RULES
from framesift.export.evaluation.scores import ScoreMatrix, load_bank, load_scores, save_scores


def test_a_square_matrix_has_its_truth_on_the_diagonal(tmp_path: Path) -> None:
    scores = np.random.default_rng(0).normal(size=(4, 4)).astype(np.float32)
    np.save(tmp_path / "s.npy", scores)
    np.savez(tmp_path / "s.npz", scores=scores)
    for name in ("s.npy", "s.npz"):
        found = load_scores(tmp_path / name)
        assert np.array_equal(found.scores, scores)
        assert found.target.tolist() == [0, 1, 2, 3]


def test_what_is_saved_is_read_back(tmp_path: Path) -> None:
    matrix = ScoreMatrix(np.random.default_rng(0).normal(size=(5, 3)), np.array([2, 2, 0, 1, 2]))
    save_scores(tmp_path / "kept", matrix)
    found = load_scores(tmp_path / "kept")
    assert np.array_equal(found.scores, matrix.scores)
    assert np.array_equal(found.target, matrix.target)
    assert load_scores(tmp_path / "kept", np.zeros(5, np.int64)).target.tolist() == [0] * 5


def test_the_byte_order_of_a_file_changes_nothing(tmp_path: Path) -> None:
    scores = np.random.default_rng(0).integers(0, 3, size=(6, 6)).astype(">f4")
    np.savez(tmp_path / "big.npz", scores=scores, target=np.arange(6).astype(">i8"))
    found = load_scores(tmp_path / "big.npz")
    for rule in RULES.values():
        if rule is not RULES["all-in-one"]:
            native = ScoreMatrix(scores.astype(np.float32), np.arange(6))
            assert rule.measure(found, "t2v") == rule.measure(native, "t2v")


def test_grouping_orders_videos_by_first_appearance() -> None:
    scores = np.arange(15.0).reshape(5, 3)
    found = ScoreMatrix(scores, np.array([2, 0, 2, 1, 0])).grouped()
    assert found.target.tolist() == [0, 0, 1, 1, 2]
    assert found.scores.tolist() == scores[[0, 2, 1, 4, 3]][:, [2, 0, 1]].tolist()


def test_objects_are_never_unpickled(tmp_path: Path) -> None:
    np.save(tmp_path / "o.npy", np.array([[object()]]), allow_pickle=True)
    np.savez(tmp_path / "o.npz", scores=np.array([[{}]], dtype=object))
    for name in ("o.npy", "o.npz"):
        with pytest.raises(InvalidInput, match="plain numbers"):
            load_scores(tmp_path / name)


@pytest.mark.parametrize("content", [b"", b"hello", b"\x93NUMPY\x01\x00", b"PK\x03\x04 not a zip"])
def test_other_files_are_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.npy").write_bytes(content)
    with pytest.raises(InvalidInput, match="x.npy"):
        load_scores(tmp_path / "x.npy")


@pytest.mark.parametrize(
    ("scores", "target", "said"),
    [
        (np.zeros((3, 4)), None, "give the captions' file"),
        (np.zeros(4), None, "give the captions' file"),
        (np.zeros((0, 0)), None, "must be a matrix"),
        (np.zeros((2, 2), np.int64), None, "must be a matrix"),
        (np.zeros((2, 2), np.longdouble), None, "must be a matrix"),
        (np.zeros((2, 2), np.complex64), None, "must be a matrix"),
        (np.zeros((2, 2, 2)), np.zeros(2, np.int64), "must be a matrix"),
        (np.zeros((3, 4)), np.zeros(2, np.int64), "must be 3 integers"),
        (np.zeros((3, 4)), np.zeros(3), "must be 3 integers"),
        (np.zeros((3, 4)), np.array([0, 1, 4]), "the columns in 0..3"),
        (np.zeros((3, 4)), np.array([0, -1, 1]), "the columns in 0..3"),
    ],
)
def test_matrices_that_do_not_fit(scores: np.ndarray, target: np.ndarray | None, said: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", scores=scores, **({} if target is None else {"target": target}))
    with pytest.raises(InvalidInput, match=said):
        load_scores(tmp_path / "x.npz")


def test_a_bank_needs_the_same_videos(tmp_path: Path) -> None:
    np.save(tmp_path / "bank.npy", np.ones((7, 4), np.float32))
    assert load_bank(tmp_path / "bank.npy", 4).shape == (7, 4)
    with pytest.raises(InvalidInput, match="4 columns and the score matrix 5"):
        load_bank(tmp_path / "bank.npy", 5)
    np.savez(tmp_path / "named.npz", other=np.ones((7, 4)))
    with pytest.raises(InvalidInput, match="must be called 'scores'"):
        load_bank(tmp_path / "named.npz", 4)
    with pytest.raises(InvalidInput, match="no score matrix at"):
        load_bank(tmp_path / "absent.npy", 4)
