"""Tags beside a film: words for what experts saw and heard in it, as a JSON object of an expert and its tags."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ..checks import encode_text
from ..errors import InvalidFeatures, InvalidQuery
from ..spec import TensorSpec
from ..text.tokenizers import Tokenizer
from .profile import FeatureProfile

TAG_IDS, TAG_MASK = "tag_ids", "tag_mask"
_LARGEST = 1 << 20


def read_tags(data: memoryview, profile: FeatureProfile) -> list[str]:
    """The tags of a JSON file, in the order of the profile's experts and then of the file.

    Raises:
        InvalidFeatures: no JSON object of experts that the profile has and lists of texts, or more than 1 MiB.
    """
    if len(data) > _LARGEST:
        raise InvalidFeatures(f"the file of tags has {len(data)} bytes, the limit is {_LARGEST}")
    try:
        values = json.loads(bytes(data).decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise InvalidFeatures(f"the file of tags is not JSON: {str(error)[:120]}") from error
    experts = [array.name for array in profile.arrays]
    if not isinstance(values, dict):
        raise InvalidFeatures(f"the tags are a JSON {type(values).__name__}: give an object of {', '.join(experts)}")
    if strangers := sorted(values.keys() - set(experts)):
        raise InvalidFeatures(f"the model has no tags of {strangers[0]!a:.60}; it has those of {', '.join(experts)}")
    return [tag for expert in experts for tag in _listed(expert, values.get(expert, []))]


def tag_inputs(tags: list[str], ports: Mapping[str, TensorSpec], tokenizer: Tokenizer) -> dict[str, npt.NDArray[Any]]:
    """``tag_ids`` int64 [K, W] of the first K tags, and ``tag_mask`` [K], 1 where there is one.

    Args:
        tokenizer: of W positions, the only length that it makes.
    """
    count, length = ports[TAG_IDS].shape
    kept = tags[:count]
    ids, mask = np.zeros((count, length), np.int64), np.zeros(count, np.float32)
    if kept:
        ids[: len(kept)], mask[: len(kept)] = tokenizer.encode(kept), 1
    return {TAG_IDS: ids, TAG_MASK: mask}


def _listed(expert: str, tags: Any) -> list[str]:
    if not isinstance(tags, list):
        raise InvalidFeatures(f"the tags of {expert} are {type(tags).__name__}: give a list of texts")
    for tag in tags:
        try:
            encode_text(tag)
        except InvalidQuery as error:
            raise InvalidFeatures(f"a tag of {expert} can't be read: {error}") from error
    return tags
