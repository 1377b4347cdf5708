"""The rules by which a feature file's arrays become a video encoder's inputs, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import InvalidFeatures
from ..ports import ACTIONS, LOCATIONS, REGIONS, REGIONS_MASK
from ..spec import TensorSpec
from .arrays_file import Arrays
from .profile import FeatureProfile

Inputs = dict[str, npt.NDArray[Any]]
Rule = Callable[[Arrays, FeatureProfile, Mapping[str, TensorSpec]], Inputs]
"""Arrays that ``checks.check_arrays`` let through, their profile, and the video encoder's ports without the batch."""


# What follows an expert's name where a file tells its times; the inputs of times and of which rows there are.
TIMES = ".times"
FEATURE_TIMES, FEATURE_MASK = "features_t", "features_ind"
# Second 0 is 2 to the authors' model, and 1 is no time at all.
FIRST_TIME, UNKNOWN_TIME = 2.0, 1.0


def pooled(arrays: Arrays, profile: FeatureProfile, ports: Mapping[str, TensorSpec]) -> Inputs:
    """Of every array [rows, D] its largest value over the rows, [D]: HowTo100M's way."""
    return {port_of(name): array.max(0) for name, array in arrays.items()}


def regions(arrays: Arrays, profile: FeatureProfile, ports: Mapping[str, TensorSpec]) -> Inputs:
    """Regions with their places, and actions, padded with zeros: ActBERT's way.

    Row 0 is the mean of all ``regions`` [n, D] and stands for the whole picture. As many follow as there is room for;
    the mask is 1 for these. A place is the corners of ``boxes`` [n, 4] (x1, y1, x2, y2 in pixels) and the area, as
    shares of the picture's ``width_height``. Every row of ``actions`` [a, D] counts, those of padding too.

    Raises:
        InvalidFeatures: a picture without a size, or more actions than there is room for.
    """
    found, boxes, actions = arrays["regions"], arrays["boxes"], arrays["actions"]
    width, height = arrays["width_height"].tolist()
    if width <= 0 or height <= 0:
        raise InvalidFeatures(f"width_height is {width:g}, {height:g}: bring the picture's size in pixels")
    room, most = ports[REGIONS].shape[0], ports[ACTIONS].shape[0]
    if len(actions) > most:
        raise InvalidFeatures(f"actions has {len(actions)} rows, the model reads at most {most}: choose those to bring")
    corners = boxes / np.array([width, height, width, height], np.float32)
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]) / np.float32(width * height)
    whole = np.array([[0, 0, 1, 1, 1]], np.float32)
    rows = np.concatenate([found.mean(0, keepdims=True), found[:room]])[:room]
    return {
        REGIONS: _padded(rows, room),
        LOCATIONS: _padded(np.concatenate([whole, np.column_stack([corners, area])])[:room], room),
        REGIONS_MASK: (np.arange(room) < len(rows)).astype(np.float32),
        ACTIONS: _padded(actions, most),
    }


def _padded(rows: npt.NDArray[np.float32], count: int) -> npt.NDArray[np.float32]:
    return np.pad(rows, ((0, count - len(rows)), (0, 0))).astype(np.float32)


def port_of(name: str) -> str:
    """What the video encoder calls the input that an array becomes."""
    return f"features_{name}"


def experts(arrays: Arrays, profile: FeatureProfile, ports: Mapping[str, TensorSpec]) -> Inputs:
    """Every expert's rows, T of them at most, in front of them the largest of all, and when each row was: MMT's way.

    Args:
        arrays: per expert [n, D], and where a file says so itself ``NAME.times`` [n, 2], start and end in seconds; an
            expert that is not there is missing.
        ports: ``features_NAME`` [1 + T, D] of every expert, ``features_t`` and ``features_ind`` [M, T].

    Raises:
        InvalidFeatures: times of an expert that is missing, or no expert at all.
    """
    known = [array for array in profile.arrays if not array.name.endswith(TIMES)]
    if stray := [name for name in arrays if name.endswith(TIMES) and name.removesuffix(TIMES) not in arrays]:
        raise InvalidFeatures(f"the feature file has {stray[0]}, but no {stray[0].removesuffix(TIMES)}")
    made = {name: np.zeros(port.shape, np.float32) for name, port in ports.items()}
    made[FEATURE_TIMES] += UNKNOWN_TIME
    most = ports[FEATURE_TIMES].shape[1]
    for place, expert in enumerate(known):
        rows = arrays.get(expert.name)
        if rows is None:
            continue
        kept = _kept(len(rows), most)
        features = made[port_of(expert.name)]
        features[0], features[1 : 1 + len(kept)] = rows.max(0), rows[kept]
        times = _times(len(rows), expert.seconds, arrays.get(f"{expert.name}{TIMES}"))
        made[FEATURE_TIMES][place, : len(kept)] = times[kept]
        made[FEATURE_MASK][place, : len(kept)] = 1
    return made


def _kept(count: int, most: int) -> npt.NDArray[np.intp]:
    """Which rows are kept of more than ``most``: numpy's old stream from the seed 0, as in the authors' evaluation."""
    if count <= most:
        return np.arange(count)
    return np.sort(np.random.RandomState(0).choice(count, most, replace=False)).astype(np.intp)


def _times(count: int, seconds: float | None, told: npt.NDArray[np.float32] | None) -> npt.NDArray[np.float64]:
    """The middle of every row in seconds, and two more; 1 where an expert's rows have no time."""
    if seconds is None:
        return np.full(count, UNKNOWN_TIME)
    middles = (np.arange(count) + 0.5) * seconds if told is None else told.astype(np.float64).mean(1)
    return middles + FIRST_TIME


RULES: Mapping[str, Rule] = {"pooled": pooled, "experts": experts, "regions": regions}
# The rule of texts instead of arrays, see ``tags``.
TAGS = "tags"
RULE_NAMES = (*RULES, TAGS)
