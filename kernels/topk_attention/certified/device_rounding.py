"""What the float16 search of a GPU may be off by, as the bound's kernel takes it: the columns of ``device_columns``.

The bound is of the score s that a GPU's float16 kernel computes, compared with a threshold theta that is such a score
too. Letters: ``reference``; u is 2^-24, half of the last place of 1.

**Text.** The kernel rounds text vectors to float16, or keeps what that cuts off as a second float16. The bound is of
the vectors as the kernel has them, so this is no error.

**Products.** Products of two float16 are exact in float32. A tensor core adds b of them and the sum so far in one step:
all are shifted to the largest of them and what falls beyond its last place is cut off, and so is the result (Fasi,
Higham, Mikaitis and Pranesh, "Numerical behavior of NVIDIA tensor cores", PeerJ Computer Science 7:e330, 2021, for
b = 4 and 8; Blanchard et al., SIAM J. Sci. Comput. 42(3), 2020, bound any block). Each of the b + 1 addends and the
result lose less than 2 u of the largest, which is at most |u| |x|. So with D / b steps and b of 4 or more a product is
off by at most (1 + 2 / b) D 2 u |u| |x| <= 3 D u |u| |x|, whatever the order. Sums in float32 in any order are off by
less: D u. Frames are no longer than ``LONGEST`` sqrt(D). The sum of F weighed readouts, the factor log2 e and the
subtraction of the largest logit take 2 F + 32 u more, of the same norms.

**Weights.** A weight is ``ex2.approx`` of a difference: 2^-22 off by NVIDIA's PTX manual; 2^-20 is allowed. What all
weights share cancels in a score.

**Forms.** A form's sum of products of weights, which add up to 1, is off by at most gamma = (2 F + 8) u times its
largest entry m: |sum| <= m, because weights aren't negative. So with m_1 to m_3 of the forms and k_2 to k_4 of the
vectors sigma^2 is off by gamma m_1, r^2 by gamma (m_2 + sigma k_2) + k_2 dsigma, and e likewise. A root is then off by
no more than the root of that, even where the form has cancelled to nothing, nor by more than it over the root. The
roots' least values follow from the gradients at equal weights: sigma >= min alpha, and so on. ``sqrt.approx`` and
``rsqrt.approx`` are 2^-23 and 2^-22 off; 2^-21 is allowed.

**Score.** s >= theta >= 0 then says that readout + tau_0 + sigma tau_1 + r tau_2 - theta sqrt(e) is at least minus what
sigma, r and sqrt(e) lost, times |tau_1|, |tau_2| and theta.

What is assumed and can't be read in a manual: that a tensor core computes every element of a tile in the same way, so
that a pair has the same score wherever in a tile it lies. Search and rescoring are one compiled kernel.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..biases import Biases
from ..layout import HeadShape
from ..operands import Floats, TextVectors
from . import device_columns as of
from .integers import planes
from .records import LONGEST, MOST_STEPS
from .turn import turned

Doubles = npt.NDArray[np.float64]

_UNIT = 2.0**-24
_WEIGHTS, _APPROXIMATE = 2.0**-20, 2.0**-21
# Where squares have cancelled to less than this, in roots, of their terms, nothing is proved.
_CANCELLED = 1e-2
# Of a tile of the products' kernel.
_QUERIES = 8


def as_read(vectors: Floats, parts: int) -> Doubles:
    """Text vectors [Q, D] as the float16 kernel has them: with 2 ``parts`` what rounding cut off is kept as well."""
    high = vectors.astype(np.float16)
    low = (vectors - high.astype(np.float32)).astype(np.float16)
    read: Doubles = high.astype(np.float64) + (low.astype(np.float64) if parts == 2 else 0)
    return read


def queries(
    text: TextVectors, parts: int, shape: HeadShape, biases: Biases
) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.int8], Doubles]:
    """What kernels are told of Q texts: integers of u and of w, int8 [16 ceil(Q / 8), D], and columns [Q, 18]."""
    wide = turned(np.stack([as_read(text.logit, parts), as_read(text.readout, parts)], axis=1))
    halves, scale, whole = planes(wide)
    told = np.zeros((len(wide), of.COLUMNS))
    told[:, of.SCALE : of.SCALE + 2] = scale
    lost = np.abs(wide - whole * scale[..., None].astype(np.float64)).sum(-1)
    told[:, of.SLACK : of.SLACK + 2] = MOST_STEPS * lost * (1 + 1e-9)
    squares = np.einsum("qpd,qrd->qpr", wide, wide)
    told[:, of.NORM : of.NORM + 2] = np.sqrt(squares[:, [0, 1], [0, 1]]) * (1 + 1e-9)
    # The three add up to a square, of which cancellation may leave less than float64's rounding of its parts.
    told[:, of.SQUARE] = squares[:, 0, 0] * (1 + 1e-9)
    told[:, of.SQUARE + 1] = 2 * squares[:, 0, 1]
    told[:, of.SQUARE + 2] = squares[:, 1, 1] * (1 + 1e-9)
    told[:, of.TAU : of.TAU + 4] = text.scalars
    told[:, of.ROUNDING] = rounding(shape)
    told[:, of.OWN] = (2 * shape.frames + 32) * _UNIT * np.abs(text.scalars[:, 0])
    told[:, of.WEIGHTS] = _WEIGHTS
    told[:, of.OFFSET], told[:, of.BIAS] = biases.offset**2, biases.bias**2
    return _tiled(halves[:, 0]), _tiled(halves[:, 1]), told


def rounding(shape: HeadShape) -> float:
    """How far a float16 product of a text vector may be off, over the vector's norm."""
    terms = 3 * shape.width + 2 * shape.frames + 32
    return float(terms * _UNIT * LONGEST * shape.width**0.5)


def videos(side: Floats, tables: Floats, shape: HeadShape, biases: Biases) -> Floats:
    """What the bound's kernel is told of videos, float32 [V, 2 F + 12], of sides [V, 5 F + 4] and tables [V, R].

    Nothing of a video whose numbers are not finite: its row says that it has no bound.
    """
    count = shape.frames
    made = np.empty((len(side), 2 * count + of.VIDEO_ROWS))
    made[:, : 2 * count] = side[:, : 2 * count]
    rows = made[:, 2 * count :]
    alpha, rho, g = (side[:, (2 + m) * count : (3 + m) * count].astype(np.float64) for m in range(3))
    rows[:, of.MEAN_STEP : of.ROOT_OFF + 1] = side[:, 5 * count :]
    rows[:, of.SIGMA_EQUAL], rows[:, of.R_EQUAL] = alpha.mean(1), rho.mean(1)
    with np.errstate(all="ignore"):
        least = (alpha.min(1), rho.min(1) - rows[:, of.R_OFF], g.min(1) - rows[:, of.ROOT_OFF])
        lost, largest = _lost(tables.astype(np.float64), least, shape, biases)
        rows[:, of.SIGMA_LOST : of.ROOT_LOST + 1] = lost * (1 + 1e-6)
        rows[:, of.SIGMA_LEAST :] = _CANCELLED * largest
    bad = ~np.isfinite(made).all(1)
    made[bad] = 0
    made[bad, 2 * count + of.ROOT_OFF] = 1e15
    return made.astype(np.float32)


def _lost(
    tables: Doubles, least: tuple[Doubles, Doubles, Doubles], shape: HeadShape, biases: Biases
) -> tuple[Doubles, Doubles]:
    """What float32 may take from sigma, r and sqrt(e) at any weights [V, 3], and the most that they may be [V, 3]."""
    triangle, videos = shape.triangle, len(tables)
    gamma, kappa = (2 * shape.frames + 8) * _UNIT, abs(biases.kappa)
    m1, m2, m3 = np.abs(tables[:, : 3 * triangle]).reshape(videos, triangle, 3).max(1).T
    k2, k3, k4 = np.abs(tables[:, 3 * triangle :]).reshape(videos, shape.frames, 3).max(1).T
    sigma = np.sqrt(m1)
    sigma_lost = _off_root(gamma * m1, least[0]) + _APPROXIMATE * sigma
    r = np.sqrt(m2 + sigma * k2)
    r_lost = _off_root(gamma * r**2 + k2 * sigma_lost, least[1]) + _APPROXIMATE * r
    bent = k4 + kappa * sigma
    square = m3 + sigma * k3 + r * bent
    off = gamma * square + k3 * sigma_lost + bent * r_lost + r * kappa * sigma_lost
    root = np.sqrt(square)
    root_lost = _off_root(off, least[2]) + _APPROXIMATE * root
    return np.stack([sigma_lost, r_lost, root_lost], axis=1), np.stack([sigma, r, root], axis=1)


def _off_root(off: Doubles, least: Doubles) -> Doubles:
    """The most that a root is off whose square is, where it is no less than ``least``."""
    return np.where(least > 0, np.minimum(np.sqrt(off), off / np.maximum(least, 1e-300)), np.sqrt(off))


def _tiled(halves: npt.NDArray[np.int8]) -> npt.NDArray[np.int8]:
    """High and low bytes [Q, 2, D] as tiles of 8 queries, all high bytes of a tile before its low ones."""
    count, _, width = halves.shape
    made: npt.NDArray[Any] = np.zeros((-(-count // _QUERIES) * _QUERIES, 2, width), np.int8)
    made[:count] = halves
    tiles = made.reshape(-1, _QUERIES, 2, width).swapaxes(1, 2)
    return np.ascontiguousarray(tiles.reshape(-1, width))
