"""How sigma, r and sqrt(e) of a video change with the weights of its frames, from its Gram table. Letters: ``layout``.

At equal weights a the three are about alpha . a, rho . a and g . a; ``reference`` says how far off that may be.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

from ..biases import Biases
from ..layout import TINY, HeadShape, upper_triangle

Doubles = npt.NDArray[np.float64]

# What float32 takes from the forms of a pair, in gradients, times theta and a quarter; csrc/bound.h says the same.
FORMS = 1.6e-5


def gradients(tables: Doubles, shape: HeadShape, biases: Biases) -> tuple[Doubles, Doubles]:
    """alpha, rho and g [V, 3 F], and what is beyond them [V, 3]; where one frame is kept, its sigma, r and root."""
    videos, count, triangle = len(tables), shape.frames, shape.triangle
    forms = tables[:, : 3 * triangle].reshape(videos, triangle, 3)
    linear = tables[:, 3 * triangle :].reshape(videos, count, 3)
    i, j, _ = upper_triangle(count)
    diagonal = forms[:, i == j]
    if shape.top_k == 1:
        sigma, r, e = _scales(diagonal, linear, biases)
        found, rest = np.concatenate([sigma, r, np.sqrt(e)], axis=1), np.zeros((videos, 3))
    else:
        rows = (tables[:, : 3 * triangle] @ _row_means(count)).reshape(videos, count, 3)
        found, rest = _at_equal(rows, diagonal, linear, biases)
    rest[:, 2] += FORMS * np.abs(found[:, 2 * count :]).max(1)
    return found, rest * (1 + 1e-6)


@cache
def _row_means(count: int) -> Doubles:
    """Of every row of the three forms its mean, their products with equal weights: [3 T, 3 F], to be multiplied by."""
    i, j, weight = upper_triangle(count)
    places = np.zeros((len(i), count))
    np.add.at(places, (np.arange(len(i)), i), 1 / weight)
    np.add.at(places, (np.arange(len(i)), j), np.where(i == j, 0, 1 / weight))
    return np.kron(places / count, np.eye(3))


def _scales(square: Doubles, linear: Doubles, biases: Biases) -> tuple[Doubles, Doubles, Doubles]:
    """sigma, r and e from forms and vectors [..., 3]; not a number where float32's floor under them would count."""
    sigma = np.sqrt(_above(square[..., 0]))
    r = np.sqrt(_above(square[..., 1] + sigma * linear[..., 0]))
    return sigma, r, _above(square[..., 2] + sigma * linear[..., 1] + r * (linear[..., 2] + biases.kappa * sigma))


def _above(values: Doubles) -> Doubles:
    return np.where(values > TINY, values, np.nan)


def _at_equal(rows: Doubles, diagonal: Doubles, linear: Doubles, biases: Biases) -> tuple[Doubles, Doubles]:
    """Gradients [V, 3 F] at equal weights, and what is beyond them [V, 3]; ``rows`` [V, F, 3] are forms times these."""
    square, mean = rows.mean(1), linear.mean(1)
    sigma, r, e = (part[:, None] for part in _scales(square, mean, biases))
    root = np.sqrt(e)
    alpha = rows[..., 0] / sigma
    rho = (rows[..., 1] + (sigma * linear[..., 0] + mean[:, :1] * alpha) / 2) / r
    bent = sigma * linear[..., 1] + mean[:, 1:2] * alpha + r * linear[..., 2] + mean[:, 2:] * rho
    g = (rows[..., 2] + (bent + biases.kappa * (r * alpha + sigma * rho)) / 2) / root
    # How far the frames are from their mean in the first two forms, and a little for the rounding of these.
    apart = np.maximum((diagonal - 2 * rows + square[:, None]).max(1), 0) + 1e-6 * np.abs(diagonal).max(1)
    first, second = np.sqrt(apart[:, 0]), np.sqrt(apart[:, 1])
    off_sigma = first**2 / (2 * sigma[:, 0])
    off_r = biases.spread * off_sigma + (second + biases.spread * first) ** 2 / (2 * r[:, 0])
    # sqrt(e) is the length of a vector; these are the parts along it of what sigma and r multiply.
    to_offset = (mean[:, 1] - biases.bias**2 * mean[:, 0] + biases.kappa * r[:, 0]) / 2 + biases.offset**2 * sigma[:, 0]
    to_bias = (mean[:, 2] + biases.kappa * sigma[:, 0]) / 2 + biases.bias**2 * r[:, 0]
    off_root = (off_sigma * np.maximum(-to_offset, 0) + off_r * np.abs(to_bias)) / root[:, 0]
    return np.concatenate([alpha, rho, g], axis=1), np.stack([off_sigma, off_r, off_root], axis=1)
