"""Random feature files, for comparisons."""

from __future__ import annotations

from typing import Any

import torch
from numpy.typing import NDArray

from ..bundle.features.profile import FeatureProfile

# Rows of an array, and the share of videos that have an array that may be missing.
_MOST_ROWS, _PRESENT = 9, 0.7


def random_arrays(profile: FeatureProfile, generator: torch.Generator) -> dict[str, NDArray[Any]]:
    """The arrays of one video, float32. Its rows resemble one another, as a film's do."""
    named = {dim for array in profile.arrays for dim in array.dims if isinstance(dim, str)}
    sizes = {dim: _whole(_MOST_ROWS, generator) for dim in sorted(named)}
    found: dict[str, NDArray[Any]] = {}
    for array in profile.arrays:
        if array.unread:
            continue
        if array.optional and torch.rand((), generator=generator) > _PRESENT:
            continue
        shape = tuple(sizes[dim] if isinstance(dim, str) else dim for dim in array.dims)
        scene = torch.randn(1, *shape[1:], generator=generator)
        found[array.name] = (scene + 0.4 * torch.randn(shape, generator=generator)).numpy()
    return found or random_arrays(profile, generator)


def _whole(most: int, generator: torch.Generator) -> int:
    return int(torch.randint(1, most + 1, (), generator=generator))
