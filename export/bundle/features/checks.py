"""What the arrays of a feature file must be, before any of them becomes an input."""

from __future__ import annotations

import numpy as np

from ..errors import InvalidFeatures
from ..limits import MAX_FEATURE_BYTES
from .arrays_file import Arrays
from .profile import FeatureArray, FeatureProfile

_CHUNK = 1 << 12
_ITEM_BYTES = 4


def check_arrays(arrays: Arrays, profile: FeatureProfile, largest: int = MAX_FEATURE_BYTES) -> Arrays:
    """The arrays that a profile reads, as float32.

    Args:
        largest: the most bytes of all arrays as float32, in which whole numbers take up to four times a file's bytes.

    Raises:
        InvalidFeatures: one that is missing, unknown or of another shape, without rows, with a row of zeros, or with
            values that are not finite, or all together too large; the message names it and what to bring.
    """
    known = {array.name: array for array in profile.arrays}
    if strangers := sorted(arrays.keys() - known.keys()):
        raise InvalidFeatures(
            f"the feature file holds {_shown(strangers)}, which the model doesn't read: {_take(profile)}"
        )
    if missing := [name for name, array in known.items() if not array.optional and name not in arrays]:
        raise InvalidFeatures(f"the feature file lacks {_shown(missing)}: {_take(profile)}")
    arrays = {name: array for name, array in arrays.items() if not known[name].unread}
    if not arrays:
        raise InvalidFeatures(f"the feature file holds no array: {_take(profile)}")
    sizes: dict[str, tuple[int, str]] = {}
    for name, array in arrays.items():
        _check_shape(array.shape, known[name], sizes, profile)
    if (size := sum(array.size for array in arrays.values()) * _ITEM_BYTES) > largest:
        raise InvalidFeatures(f"the arrays have {size} bytes as float32, the limit is {largest}: leave out rows")
    found = {}
    for name, array in arrays.items():
        with np.errstate(over="ignore"):
            found[name] = array.astype(np.float32, copy=False)
        _check_values(known[name], found[name].reshape(len(array) if array.ndim > 1 else 1, -1))
    return found


def _check_shape(
    shape: tuple[int, ...], wanted: FeatureArray, sizes: dict[str, tuple[int, str]], profile: FeatureProfile
) -> None:
    fits = len(shape) == len(wanted.dims)
    if not fits or any(isinstance(dim, int) and dim != size for dim, size in zip(wanted.dims, shape, strict=True)):
        raise InvalidFeatures(f"{wanted.name} has the shape {list(shape)}: {_take(profile)}")
    if 0 in shape:
        raise InvalidFeatures(f"{wanted.name} has the shape {list(shape)}, no row at all: bring one at least")
    for dim, size in zip(wanted.dims, shape, strict=True):
        if isinstance(dim, str) and sizes.setdefault(dim, (size, wanted.name))[0] != size:
            other, name = sizes[dim]
            raise InvalidFeatures(f"{wanted.name} has {size} {dim}, and {name} has {other}: they belong together")


def _check_values(wanted: FeatureArray, rows: np.ndarray[tuple[int, int], np.dtype[np.float32]]) -> None:
    name = wanted.name
    # In parts, so that what is found of the rows takes no memory of their size.
    for start in range(0, len(rows), _CHUNK):
        part = rows[start : start + _CHUNK]
        finite, filled = np.isfinite(part).all(1), part.any(1)
        if not finite.all():
            row = start + int(finite.argmin())
            raise InvalidFeatures(f"{name} holds NaN or infinity in row {row}: extract it again, or leave it out")
        if not filled.all() and not wanted.zeros:
            row = start + int(filled.argmin())
            raise InvalidFeatures(f"{name} has only zeros in row {row}: extract it again, or leave the row out")


def _take(profile: FeatureProfile) -> str:
    return f"the model takes {profile.describe()}"


def _shown(names: list[str]) -> str:
    shown = ", ".join(f"{name!a:.60}" for name in names[:5])
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} more"
