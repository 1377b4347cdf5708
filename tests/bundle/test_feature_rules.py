"""MMT's rule for feature files: what is kept of every expert, when it was seen, and what may be missing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from framesift.export.bundle.errors import InvalidFeatures
from framesift.export.bundle.features.checks import check_arrays
from framesift.export.bundle.features.profile import FeatureArray, FeatureProfile
from framesift.export.bundle.features.reading import feature_inputs
from framesift.export.bundle.spec import TensorSpec

T = 4
PROFILE = FeatureProfile(
    "experts",
    (
        FeatureArray("face", ("rows_face", 3), optional=True),
        FeatureArray("face.times", ("rows_face", 2), optional=True, unread=True),
        FeatureArray("rgb", ("rows_rgb", 2), optional=True, seconds=0.2),
        FeatureArray("rgb.times", ("rows_rgb", 2), optional=True, zeros=True),
    ),
)
PORTS = {
    "features_face": TensorSpec("features_face", "float32", (1 + T, 3)),
    "features_rgb": TensorSpec("features_rgb", "float32", (1 + T, 2)),
    "features_t": TensorSpec("features_t", "float32", (2, T)),
    "features_ind": TensorSpec("features_ind", "float32", (2, T)),
}


def made(**arrays: Any) -> dict[str, NDArray[Any]]:
    given = {name.replace("_times", ".times"): np.asarray(array, np.float32) for name, array in arrays.items()}
    return feature_inputs(check_arrays(given, PROFILE), PROFILE, PORTS)


def test_rows_follow_their_largest_with_zeros_behind_them() -> None:
    inputs = made(rgb=[[1, 5], [3, 4], [2, 6]])
    assert inputs["features_rgb"].tolist() == [[3, 6], [1, 5], [3, 4], [2, 6], [0, 0]]
    assert inputs["features_ind"].tolist() == [[0] * 4, [1, 1, 1, 0]]
    np.testing.assert_allclose(inputs["features_t"], [[1] * 4, [2.1, 2.3, 2.5, 1]], rtol=1e-6)
    assert not inputs["features_face"].any()


def test_times_of_the_file_go_before_those_of_the_rows_places() -> None:
    inputs = made(rgb=[[1, 5], [3, 4]], rgb_times=[[0, 0], [30, 31]])
    assert inputs["features_t"].tolist() == [[1] * 4, [2, 32.5, 1, 1]]


def test_rows_without_time_have_one_that_says_so() -> None:
    assert made(face=[[1, 2, 3]] * 2)["features_t"].tolist() == [[1] * 4] * 2


def test_times_that_are_not_read_may_hold_anything() -> None:
    alone = made(face=[[1, 2, 3]] * 2)
    for times in ([[0, 9]] * 2, [[np.nan, np.nan]], np.zeros((0, 2)), 5):
        inputs = made(face=[[1, 2, 3]] * 2, face_times=times)
        assert all(np.array_equal(inputs[name], alone[name]) for name in PORTS)
    assert made(rgb=[[1, 5]], face_times=[[0, 1]])["features_ind"].tolist() == [[0] * 4, [1, 0, 0, 0]]
    with pytest.raises(InvalidFeatures, match="holds no array"):
        made(face_times=[[0, 1]])


def test_of_too_many_rows_a_fixed_draw_is_kept_in_order() -> None:
    rows = np.arange(1, 21, dtype=np.float32).reshape(10, 2)
    inputs = made(rgb=rows)
    chosen = np.sort(np.random.RandomState(0).choice(10, T, replace=False))
    assert chosen.tolist() == [2, 4, 8, 9]
    assert inputs["features_rgb"].tolist() == [[19, 20], *rows[chosen].tolist()]
    np.testing.assert_allclose(inputs["features_t"][1], (chosen + 0.5) * 0.2 + 2, rtol=1e-6)
    assert made(rgb=rows)["features_rgb"].tolist() == inputs["features_rgb"].tolist()


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({}, "holds no array: the model takes face"),
        ({"face": [[1, 2, 3]], "rgb_times": [[0, 1]]}, "has rgb.times, but no rgb"),
        ({"rgb": [[1, 2]], "rgb_times": [[0, 1], [1, 2]]}, "they belong together"),
        ({"rgb": [[1, 2]], "rgb_times": [[0, np.nan]]}, "rgb.times holds NaN or infinity in row 0"),
        ({"face": [[0, 0, 0]]}, "face has only zeros in row 0"),
    ],
)
def test_what_makes_no_video_is_refused(arrays: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidFeatures) as raised:
        made(**arrays)
    assert said in str(raised.value)
