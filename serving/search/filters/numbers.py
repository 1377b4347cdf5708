"""Numbers compared by their exact values, as Python compares them: numpy makes floats of large whole numbers."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]
_SIGNS: Mapping[str, Callable[..., Mask]] = {
    "=": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_INT64 = np.iinfo(np.int64)


def of_floats(sign: str, values: npt.NDArray[Any], wanted: Sequence[float]) -> Mask:
    """Which of the floats ``values`` compare so with the only one of ``wanted``, or are among them.

    A whole number among ``wanted`` is one that no float is.
    """
    floats = [number for number in wanted if isinstance(number, float)]
    if sign == "in":
        return np.isin(values, floats)
    if floats:
        return _SIGNS[sign](values, floats[0])
    if sign == "=":
        return np.zeros(len(values), np.bool_)
    # It lies between this float and the next one.
    near = float(wanted[0])
    below = near if near < wanted[0] else math.nextafter(near, -math.inf)
    return values <= below if sign in ("<", "<=") else values > below


def of_integers(sign: str, values: npt.NDArray[Any], wanted: Sequence[float]) -> Mask:
    """The same of whole numbers, int64 or Python's: a bound with a fraction is rounded to where it parts them."""
    if sign in ("=", "in"):
        whole = [int(number) for number in wanted if number == math.floor(number)]
        if values.dtype != object:
            whole = [number for number in whole if _INT64.min <= number <= _INT64.max]
        return np.isin(values, np.array(whole, values.dtype))
    bound = math.ceil(wanted[0]) if sign in ("<", ">=") else math.floor(wanted[0])
    if values.dtype != object and not _INT64.min <= bound <= _INT64.max:
        return np.full(len(values), (bound > 0) == (sign in ("<", "<=")))
    return _SIGNS[sign](values, bound)
