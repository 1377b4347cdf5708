"""Feature files: what is read of them, and everything that a stranger may put there instead."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load, save

from framesift.export.bundle.errors import BundleError, InvalidFeatures
from framesift.export.bundle.features.arrays_file import read_arrays
from framesift.export.bundle.features.checks import check_arrays
from framesift.export.bundle.features.profile import FeatureProfile
from framesift.export.bundle.features.reading import read_features
from framesift.export.bundle.features.tensors_file import write_tensors
from framesift.export.bundle.spec import TensorSpec

from .feature_files import PROFILE, arrays, npz, tensors

PORTS = {name: TensorSpec(name, "float32", (size,)) for name, size in (("features_2d", 6), ("features_3d", 4))}


@pytest.mark.parametrize("pack", [npz, lambda values: npz(values, packed=True), save, write_tensors])
def test_both_kinds_of_files_hold_the_same_arrays(pack: Callable[[Any], bytes]) -> None:
    values = {**arrays(), "whole": np.arange(6).reshape(3, 2), "fortran": np.asfortranarray(np.ones((2, 3), "f8"))}
    found = read_arrays(memoryview(pack(values)))
    assert found.keys() == values.keys()
    for name, value in values.items():
        assert (found[name].dtype, found[name].shape) == (value.dtype, value.shape)
        np.testing.assert_array_equal(found[name], value)


def test_what_is_written_is_safetensors_and_always_the_same() -> None:
    written = write_tensors(arrays())
    assert written == write_tensors(dict(reversed(arrays().items())))
    assert {name: array.tolist() for name, array in load(written).items()} == {
        name: array.tolist() for name, array in arrays().items()
    }


def test_features_become_inputs_by_the_largest_of_every_column() -> None:
    given = arrays(5)
    made = read_features(memoryview(npz(given)), PROFILE, PORTS)
    for name, array in given.items():
        assert made[f"features_{name}"].dtype == np.float32
        np.testing.assert_array_equal(made[f"features_{name}"], array.astype(np.float32).max(0))


def zipped(name: str, content: bytes, announced: int | None = None) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    made = stream.getvalue()
    return made if announced is None else made.replace(struct.pack("<L", len(content)), struct.pack("<L", announced))


def npy(header: str, data: bytes = b"") -> bytes:
    text = header.encode().ljust(54) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + data


def pickled() -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **{"2d": np.array([{"a": 1}], object)})
    return stream.getvalue()


WHOLE = npz(arrays())
SHAPE = "{'descr': '<f4', 'fortran_order': False, 'shape': %s}"
DAMAGED = {
    "empty": b"",
    "a film": b"\0\0\0\x18ftypmp42" + bytes(400),
    "cut off": WHOLE[:-30],
    "cut in the middle": WHOLE[: len(WHOLE) // 2],
    "a byte of an array": WHOLE[:200] + bytes([WHOLE[200] ^ 255]) + WHOLE[201:],
    "a comment behind the end": WHOLE[:-2] + b"\x05\0hello",
    "objects": pickled(),
    "texts": npz({"2d": np.array(["a", "b"])}),
    "complex numbers": npz({"2d": np.ones((2, 6), np.complex64)}),
    "fields": npz({"2d": np.zeros(2, [("a", "f4"), ("b", "f4")])}),
    "more announced than is there": zipped("2d.npy", npy(SHAPE % "(9000000000000, 6)", bytes(24))),
    "sizes that wrap": zipped("2d.npy", npy(SHAPE % "(4611686018427387904, 4)")),
    "a negative size": zipped("2d.npy", npy(SHAPE % "(-1, 6)", bytes(24))),
    "a header that runs": zipped("2d.npy", npy("__import__('os').getcwd()")),
    "a deep header": zipped("2d.npy", npy("(" * 2000)),
    "no npy": zipped("2d.npy", b"hello"),
    "a bomb": zipped("2d.npy", bytes(300 << 20)),
    "a bomb that says it is small": zipped("2d.npy", bytes(1 << 20), announced=100),
    "many arrays": npz({f"a{number}": np.ones(1) for number in range(65)}),
    "a long header": struct.pack("<Q", 1 << 40) + b"{}",
    "no JSON": tensors(b"{{{{", b""),
    "deep JSON": tensors(b"[" * 100_000, b""),
    "a list": tensors([], b""),
    "no tensor": tensors({}, b""),
    "a tensor that is none": tensors({"2d": 3}, b""),
    "no place": tensors({"2d": {"dtype": "F32", "shape": [1]}}, b""),
    "beyond the end": tensors({"2d": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}, bytes(4)),
    "backwards": tensors({"2d": {"dtype": "F32", "shape": [1], "data_offsets": [4, 0]}}, bytes(4)),
    "negative": tensors({"2d": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}, bytes(4)),
    "a size that is none": tensors({"2d": {"dtype": "F32", "shape": [1.0], "data_offsets": [0, 4]}}, bytes(4)),
    "another type": tensors({"2d": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}}, bytes(4)),
    "nothing of more than memory": tensors(
        {"2d": {"dtype": "F32", "shape": [0, 1 << 70], "data_offsets": [0, 0]}}, b""
    ),
    "more sizes than an array has": tensors(
        {"2d": {"dtype": "F32", "shape": [1] * 65, "data_offsets": [0, 4]}}, bytes(4)
    ),
    "a size that is a truth": zipped("2d.npy", npy(SHAPE % "(True, 6)", bytes(24))),
    "a type that is none": tensors({"2d": {"dtype": [], "shape": [2], "data_offsets": [0, 4]}}, bytes(4)),
}


@pytest.mark.parametrize("data", DAMAGED.values(), ids=DAMAGED)
def test_no_other_file_is_read(data: bytes) -> None:
    with pytest.raises(InvalidFeatures):
        read_arrays(memoryview(data))


def test_a_directory_is_read_only_if_it_is_small() -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for number in range(3000):
            archive.writestr(f"{number}.npy", b"")
    with pytest.raises(InvalidFeatures, match=r"no end as np\.savez writes it"):
        read_arrays(memoryview(stream.getvalue()))


def test_unpacked_arrays_have_a_limit() -> None:
    assert read_arrays(memoryview(WHOLE), 400)
    with pytest.raises(InvalidFeatures, match="the limit is 300"):
        read_arrays(memoryview(WHOLE), 300)
    with pytest.raises(InvalidFeatures, match="the limit is 100"):
        read_arrays(memoryview(write_tensors(arrays())), 100)


def test_small_numbers_have_the_limit_of_the_large_ones_that_they_become() -> None:
    given = {name: np.ones(array.shape, np.uint8) for name, array in arrays().items()}
    read = read_arrays(memoryview(npz(given)))
    assert all(array.dtype == np.float32 for array in check_arrays(read, PROFILE, 136).values())
    with pytest.raises(InvalidFeatures, match="136 bytes as float32, the limit is 135"):
        check_arrays(read, PROFILE, 135)


def changed(name: str, value: NDArray[Any] | None) -> dict[str, NDArray[Any]]:
    values = {**arrays(), **({} if value is None else {name: value})}
    return values if value is not None else {key: kept for key, kept in values.items() if key != name}


NOT_A_NUMBER = np.ones((5000, 6), np.float32)
NOT_A_NUMBER[4999, 2] = np.nan
EMPTY_ROW = np.ones((5000, 6), np.float32)
EMPTY_ROW[4998] = 0
WRONG = {
    "missing": ("3d", None, "lacks '3d': the model takes 2d [rows, 6], 3d [steps, 4], more [2] (may be missing)"),
    "unknown": ("2D", np.ones((1, 6)), "holds '2D', which the model doesn't read"),
    "another width": ("2d", np.ones((1, 7)), "2d has the shape [1, 7]: the model takes 2d [rows, 6]"),
    "another number of dimensions": ("2d", np.ones(6), "2d has the shape [6]"),
    "no rows": ("2d", np.ones((0, 6)), "2d has the shape [0, 6], no row at all"),
    "NaN": ("2d", NOT_A_NUMBER, "2d holds NaN or infinity in row 4999"),
    "infinity": ("2d", np.full((1, 6), np.inf), "2d holds NaN or infinity in row 0"),
    "beyond float32": ("2d", np.full((1, 6), 1e300), "2d holds NaN or infinity in row 0"),
    "a row of zeros": ("2d", EMPTY_ROW, "2d has only zeros in row 4998"),
    "a vector of zeros": ("more", np.zeros(2), "more has only zeros in row 0"),
}


@pytest.mark.parametrize(("name", "value", "told"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_named(name: str, value: NDArray[Any] | None, told: str) -> None:
    with pytest.raises(InvalidFeatures) as raised:
        check_arrays(changed(name, value), PROFILE)
    assert told in str(raised.value)


def test_what_may_be_missing_is_read_where_it_is_there() -> None:
    assert set(check_arrays({**arrays(), "more": np.ones(2)}, PROFILE)) == {"2d", "3d", "more"}


def test_a_rule_makes_what_the_video_encoder_takes_or_is_refused() -> None:
    with pytest.raises(BundleError, match="makes features_2d, features_3d, the video encoder takes features_2d"):
        read_features(memoryview(WHOLE), PROFILE, {"features_2d": PORTS["features_2d"]})
    with pytest.raises(BundleError, match="the feature rule 'other' is unknown, known: "):
        read_features(memoryview(WHOLE), FeatureProfile("other", PROFILE.arrays), PORTS)
