"""The bound behind the certified search in float64: what csrc/bound.h computes for 16 videos at once, and why it holds.

A stored frame x^ differs from the frame x by e, of which the length d is known. So with a text's vectors u and w its
logit is l^ + p and its readout s^ + q with p = u . e and q = w . e. Letters: ``factorised`` and ``layout``; one head.

**Kept frames.** eps = |u| d. A frame that K others surely beat, l_j - eps_j > l_i + eps_i, is not kept, and one that at
most K - 1 others may beat is. The true kept frames are K of those that may be, and all of those that surely are.

**Linear forms.** sigma, r and sqrt(e) are lengths of vectors that depend linearly on the weights a, on sigma, and on r.
By Cauchy and Schwarz a length is at least its part along the vector at any reference weights b, and it is at most as
much more as the square of the rest over twice that length. So with the gradients alpha, rho and g at b

    sigma = alpha . a + es,   0 <= es <= P1^2 / (2 sigma_b)
    r = rho . a + er,         |er| <= c es + (P2 + c P1)^2 / (2 r_b)
    sqrt(e) >= g . a + (es <y, z> + er <bias_3, z>) / |z|

where P1 and P2 bound how far the first two forms' vectors move between b and a, c is ``Biases.spread``, z is the vector
whose length is sqrt(e) at b, and y the vector that sigma multiplies in it. Vectors move at most by the distance of a
frame from the mean of all where b are equal weights, and by twice that times the mass that moves elsewhere.

**Mass.** From the softmax b of the stored logits, at most tanh(max eps / 2) is tilted to other frames, and what b gives
to kept frames that aren't surely kept may go, of as many of them as there are candidates beyond K.

**Test.** score >= theta says that the sum over the kept frames of c_i e^p_i (x_i + q_i) is at least 0, where c_i =
exp(l^_i - max l^) and x_i collects what is linear: s^_i + tau_0 + tau_1 alpha_i + tau_2 rho_i - theta g_i and the rest
of all three. One e moves both p and q, to first order by e . (x_i u + w). So each term is at most

    c_i (x_i + d |x_i u + w| + (e^eps - 1 - eps) |x_i| + (e^eps - 1) |w| d)

and U, the sum over what is surely kept and the largest of what may be, is at least 0. A video with U < 0 scores below
theta. Here e^eps - 1 - eps is written eps^2 (1 + eps) / 2, which is more up to eps = 3.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..biases import Biases
from ..layout import HeadShape, upper_triangle
from .gradients import gradients

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Query:
    """A text's vectors u and w [D] and scalars tau [4]."""

    logit: Doubles
    readout: Doubles
    scalars: Doubles


@dataclass(frozen=True)
class Videos:
    """V videos as they are stored: frames [V, F, D], lengths of their errors [V, F], and Gram tables [V, R]."""

    frames: Doubles
    errors: Doubles
    tables: Doubles


def upper(query: Query, videos: Videos, shape: HeadShape, biases: Biases, theta: Doubles, *, free: bool) -> Doubles:
    """U [V] at the thresholds ``theta`` [V], none below 0: where it is below 0, the video's score is below theta.

    Args:
        free: with the gradient at equal weights; else at the stored logits' softmax, as ``csrc/bound.h`` does next.
    """
    top = shape.top_k
    logit, readout = videos.frames @ query.logit, videos.frames @ query.readout
    off = np.linalg.norm(query.logit) * videos.errors
    beaten = ((logit - off)[:, None] > (logit + off)[..., None]).sum(-1)
    rivalled = ((logit + off)[:, None] >= (logit - off)[..., None]).sum(-1) - 1
    slopes, beyond = gradients(videos.tables, shape, biases)
    alpha, rho, g = np.split(slopes, 3, axis=1)
    tau = query.scalars
    if not free and top > 1:
        kept = np.argsort(np.argsort(-logit, axis=1, kind="stable"), axis=1, kind="stable") < top
        weights = np.where(kept, np.exp(logit - logit.max(1, keepdims=True)), 0)
        weights /= weights.sum(1, keepdims=True)
        doubtful = np.where(rivalled < top, 0, weights)
        others = ((beaten < top).sum(1) - top) * doubtful.max(1)
        moved = off.max(1) / 2 + np.minimum(doubtful.sum(1), others)
        near = (2 * np.minimum(moved, 1)) ** 2
        alpha, rho, g, beyond = _at(weights, near, videos.tables, shape, biases, alpha.mean(1), rho.mean(1), beyond)
    rest = np.abs(tau[1]) * beyond[:, 0] + np.abs(tau[2]) * beyond[:, 1] + theta * beyond[:, 2]
    x = readout + tau[0] + tau[1] * alpha + tau[2] * rho - theta[:, None] * g + rest[:, None]
    along = np.linalg.norm(x[..., None] * query.logit + query.readout, axis=-1)
    second = off**2 * (1 + off) / 2
    value = x + videos.errors * along + second * np.abs(x)
    value += (off + second) * np.linalg.norm(query.readout) * videos.errors
    value *= np.exp(logit - logit.max(1, keepdims=True))
    key = np.where(rivalled < top, np.inf, np.where(beaten < top, value, -np.inf))
    best = np.argsort(-key, axis=1, kind="stable")[:, :top]
    total: Doubles = np.take_along_axis(value, best, 1).sum(1)
    return np.where(off.max(1) > 3, np.inf, total)


def _at(
    a: Doubles,
    near: Doubles,
    tables: Doubles,
    shape: HeadShape,
    biases: Biases,
    sigma_equal: Doubles,
    r_equal: Doubles,
    beyond: Doubles,
) -> tuple[Doubles, Doubles, Doubles, Doubles]:
    """alpha, rho and g [V, F] at the weights ``a`` [V, F], and what is beyond them [V, 3]."""
    count, triangle = shape.frames, shape.triangle
    i, j, double = upper_triangle(count)
    forms = np.empty((len(a), count, count, 3))
    forms[:, i, j] = forms[:, j, i] = tables[:, : 3 * triangle].reshape(-1, triangle, 3) / double[:, None]
    linear = tables[:, 3 * triangle :].reshape(-1, count, 3)
    rows, mean = np.einsum("vijm,vj->vim", forms, a), np.einsum("vim,vi->vm", linear, a)
    square = np.einsum("vim,vi->vm", rows, a)
    sigma = np.sqrt(square[:, 0])
    r = np.sqrt(square[:, 1] + sigma * mean[:, 0])
    root = np.sqrt(square[:, 2] + sigma * mean[:, 1] + r * (mean[:, 2] + biases.kappa * sigma))
    s_, r_ = sigma[:, None], r[:, None]
    alpha = rows[..., 0] / s_
    rho = (rows[..., 1] + (s_ * linear[..., 0] + mean[:, :1] * alpha) / 2) / r_
    bent = s_ * linear[..., 1] + mean[:, 1:2] * alpha + r_ * linear[..., 2] + mean[:, 2:] * rho
    g = (rows[..., 2] + (bent + biases.kappa * (r_ * alpha + s_ * rho)) / 2) / root[:, None]
    by_sigma = sigma_equal / sigma
    off_sigma = near * beyond[:, 0] * by_sigma
    off_r = near * beyond[:, 1] * np.maximum(by_sigma, r_equal / r)
    to_offset = (mean[:, 1] - biases.bias**2 * mean[:, 0] + biases.kappa * r) / 2 + biases.offset**2 * sigma
    to_bias = (mean[:, 2] + biases.kappa * sigma) / 2 + biases.bias**2 * r
    off_root = (off_sigma * np.maximum(-to_offset, 0) + off_r * np.abs(to_bias)) / root
    return alpha, rho, g, np.stack([off_sigma, off_r, off_root], axis=1)
