"""A feature file's bytes to a video encoder's inputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ..checks import NO_FEATURES
from ..errors import BundleError, InvalidFeatures
from ..spec import TensorSpec
from ..text.tokenizers import Tokenizer
from .arrays_file import Arrays, read_arrays
from .checks import check_arrays
from .profile import FeatureProfile
from .rules import RULES
from .tags import read_tags, tag_inputs


def read_features(
    data: memoryview, profile: FeatureProfile, ports: Mapping[str, TensorSpec], tokenizer: Tokenizer | None = None
) -> dict[str, npt.NDArray[Any]]:
    """The inputs, without a batch, of one video's feature file.

    Args:
        data: uint8, the file's content.
        ports: what the video encoder takes, without the batch; frames are none of it.
        tokenizer: for a rule of texts.

    Raises:
        InvalidFeatures: a file that can't be read, or arrays that are not as the profile says.
        BundleError: a rule that is not known, or one that doesn't make these inputs.
    """
    if tokenizer is not None:
        return tag_inputs(read_tags(data, profile), ports, tokenizer)
    if bytes(data[: len(NO_FEATURES) + 1]) == NO_FEATURES:
        raise InvalidFeatures(
            f"the film has no feature file: put an npz or safetensors file of {profile.describe()} beside it, called "
            "like the film but for the suffix"
        )
    return feature_inputs(check_arrays(read_arrays(data), profile), profile, ports)


def feature_inputs(
    arrays: Arrays, profile: FeatureProfile, ports: Mapping[str, TensorSpec]
) -> dict[str, npt.NDArray[Any]]:
    """The inputs, without a batch, of arrays that were checked.

    Raises:
        InvalidFeatures: what the rule itself refuses.
        BundleError: a rule that is not known, or one that doesn't make these inputs.
    """
    if profile.rule not in RULES:
        raise BundleError(f"the feature rule {profile.rule!r} is unknown, known: {', '.join(sorted(RULES))}")
    made = RULES[profile.rule](arrays, profile, ports)
    faults = [made[name].shape for name, port in ports.items() if name not in made or made[name].shape != port.shape]
    if made.keys() != ports.keys() or faults:
        raise BundleError(
            f"the feature rule {profile.rule} makes {', '.join(made)}, the video encoder takes {', '.join(ports)}"
        )
    return {name: np.ascontiguousarray(made[name], ports[name].dtype) for name in ports}
