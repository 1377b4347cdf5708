"""int8 storage of frame vectors: a third of float32's bytes, exact but for the rounding of the steps.

A video's frames resemble one another, so their mean is kept in float16 and the frames as int8 steps away from it,
every frame with a step size of its own in every head. Before that each dimension is shifted and scaled as its values
in the whole gallery ask for; such a map of the frames is undone exactly by the inverse map of the text vectors
(``fold``), so the scorers don't know of it.

Scores from these steps are near the float16 ones. It is the int8 that the Triton kernels read, and nothing that is
served writes it: where a gallery is served from int8, on the CPU, ``certified`` finds the float16 search's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .layout import LANES, pack_tables
from .operands import Floats, GalleryVectors, TextVectors

_STEPS = 127
# Dimensions that hardly vary must not decide the others' steps.
_LEAST_GAIN = 1e-2


@dataclass(frozen=True)
class Affine:
    """How frame vectors x are stored: (x - offset) / gain. ``gain`` [S, D]; ``offset`` [D], the last stream's."""

    gain: Floats
    offset: Floats


def fit(frames: npt.NDArray[Any]) -> Affine:
    """The affine map that suits the frame vectors [V, S, F, D] of a gallery, or of a fair sample of it."""
    values = frames.astype(np.float32)
    spread = np.sqrt(((values - values.mean(2, keepdims=True)) ** 2).mean((0, 2)))
    # Frames of a video may be one, or alike: means must stay within float16 then.
    typical = np.maximum(spread, _LEAST_GAIN * values.std((0, 2))).mean(-1, keepdims=True)
    typical = np.where(typical > 0, typical, 1)
    return Affine(np.maximum(spread, _LEAST_GAIN * typical), values[:, -1].mean((0, 1)))


def fold(text: TextVectors, affine: Affine) -> TextVectors:
    """The text vectors for a gallery that is stored under ``affine``."""
    scalars = text.scalars.copy()
    scalars[:, 0] += text.readout @ affine.offset
    return TextVectors(text.logit * affine.gain[0], text.readout * affine.gain[-1], scalars)


def quantise(frames: npt.NDArray[Any], tables: npt.NDArray[Any], affine: Affine, *, heads: int = 1) -> GalleryVectors:
    """Frame vectors [V, S, F, D] and their tables [V, R] in int8 storage under ``affine``.

    Raises:
        ValueError: no video.
    """
    videos, streams, count, width = frames.shape
    steps = np.empty((videos, streams, count, heads, width // heads), np.int8)
    sizes = np.empty((videos, streams, heads, count), np.float32)
    mean = np.empty((videos, width), np.float16)
    for start in range(0, videos, LANES):
        part = slice(start, start + LANES)
        values = frames[part].astype(np.float32)
        values[:, -1] -= affine.offset
        values /= affine.gain[:, None]
        centre = values.mean(2, keepdims=True)
        mean[part] = centre[:, -1, 0]
        # What rounding took from the mean is left to the steps.
        centre[:, -1, 0] = mean[part]
        split = (values - centre).reshape(-1, *steps.shape[1:])
        size = np.maximum(np.abs(split).max(-1), np.finfo(np.float32).tiny * _STEPS) / _STEPS
        steps[part] = np.rint(split / size[..., None])
        sizes[part] = size.swapaxes(2, 3)
    packed = pack_tables(np.concatenate([tables, sizes.reshape(videos, -1)], axis=1))
    return GalleryVectors(steps.reshape(frames.shape), packed, mean)
