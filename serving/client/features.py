"""Feature files on their way to the server: files as they are, and arrays as a file made of them."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ...export.bundle.checks import check_feature_bytes
from ...export.bundle.errors import InvalidFeatures, InvalidVideo
from ...export.bundle.features.tensors_file import write_tensors
from .uploads import Features, Upload, path_of, read_file


def read_features(features: Features) -> Upload:
    """Read features: bytes as they are, arrays as a safetensors file, anything else as the path of a file.

    A file's id is its name without suffix and its source its absolute path; bytes and arrays are called by their
    digest.

    Raises:
        InvalidFeatures: neither of these, no such file, empty or too large, or arrays that are not of numbers.
    """
    if isinstance(features, Mapping) and any(map(_is_tags, features.values())):
        features = _tags(features)
    if isinstance(features, Mapping):
        features = write_tensors({_name(name): _array(name, values) for name, values in features.items()})
    if isinstance(features, bytes):
        _check_size(len(features))
        return Upload(features, hashlib.sha256(features).hexdigest(), "")
    try:
        path = path_of(features, "features")
        return Upload(read_file(path, _check_size), path.stem, os.path.abspath(path))
    except InvalidVideo as error:
        raise InvalidFeatures(str(error)) from error


def _is_tags(values: object) -> bool:
    return isinstance(values, list | tuple) and (not values or isinstance(values[0], str))


def _tags(features: Mapping[str, Any]) -> bytes:
    try:
        return json.dumps(features, ensure_ascii=False, sort_keys=True).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidFeatures(f"the tags can't be written as JSON: {error}") from error


def _name(name: object) -> str:
    if not isinstance(name, str):
        raise InvalidFeatures(f"an array's name is {type(name).__name__}: give a mapping of names and arrays")
    return name


def _array(name: str, values: npt.ArrayLike) -> npt.NDArray[Any]:
    try:
        return np.asarray(values)
    # Whatever an object's own way into numpy raises.
    except Exception as error:
        raise InvalidFeatures(f"{name!a:.60} can't be read as one array: {error}") from error


def _check_size(size: int) -> None:
    if size == 0:
        raise InvalidFeatures("the feature file is empty")
    check_feature_bytes(size)
