"""Arrays against the one type for a tensor."""

from __future__ import annotations

import numpy as np
import pytest

from framesift.export.bundle.spec import DATA_TYPES, TensorSpec

SPEC = TensorSpec("x", "float32", ("batch", 3, -1))


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.zeros((5, 3, 2), np.float32), None),
        (np.zeros((0, 3, 0), np.float32), None),
        (np.zeros((5, 3, 2)), "x is float64, expected float32"),
        (np.zeros((5, 4, 2), np.float32), "x has the shape [5, 4, 2], expected ['batch', 3, -1]"),
        (np.zeros((5, 3), np.float32), "x has the shape [5, 3], expected ['batch', 3, -1]"),
    ],
    ids=["fits", "empty", "dtype", "size", "rank"],
)
def test_what_is_no_such_tensor_is_told(array: np.ndarray, said: str | None) -> None:
    assert SPEC.mismatch(array, "expected") == said


@pytest.mark.parametrize("array", [np.array([b"a"]), np.array(["a"]), np.array(["a"], object)], ids=["S", "U", "O"])
def test_strings_come_in_three_kinds_of_arrays(array: np.ndarray) -> None:
    strings = TensorSpec("text", "object", (-1,))
    assert strings.mismatch(array, "expected") is None
    assert strings.mismatch(np.zeros(1), "expected") == "text is float64, expected object"


def test_the_batch_comes_and_goes() -> None:
    assert SPEC.unbatched().batched("batch") == SPEC
    assert SPEC.unbatched().shape == (3, -1)
    assert SPEC.batched("more").shape == (-1, -1, 3, -1)


def test_every_element_type_of_the_server_is_one_of_numpys() -> None:
    assert {np.dtype(name).name for name in DATA_TYPES} == set(DATA_TYPES)
