"""A feature file's bytes to the video encoder's inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ...export.bundle.errors import BundleError, FramesiftError
from ...export.bundle.features.profile import FeatureProfile
from ...export.bundle.features.reading import read_features
from ...export.bundle.features.rules import TAGS
from ...export.bundle.features.tags import TAG_IDS
from ...export.bundle.ports import FEATURES, OF_FRAMES, VIDEO_ENCODER
from ...export.bundle.spec import TensorSpec
from ...export.bundle.store import read_manifest
from ...export.bundle.text.tokenizers import Tokenizer, load_tokenizer
from .base import Arrays, Backend


class FeatureReader(Backend):
    """Reads ``features`` uint8 [1, N], an npz or safetensors file, or tags as JSON.

    It writes what the video encoder takes of them. The file may come from anybody: what is in it is checked here, and
    here alone.
    """

    profile: FeatureProfile
    ports: Mapping[str, TensorSpec]
    tokenizer: Tokenizer | None = None

    def setup(self, config: dict[str, Any], folder: Path) -> None:
        """Read which arrays the model takes, and what its video encoder reads of them."""
        manifest = read_manifest(folder)
        if manifest.features is None:
            raise BundleError("the bundle's model takes no features")
        self.profile = manifest.features
        inputs = (port.unbatched() for port in manifest.graphs[VIDEO_ENCODER].inputs)
        self.ports = {port.name: port for port in inputs if port.name not in OF_FRAMES}
        if manifest.features.rule == TAGS:
            length = self.ports[TAG_IDS].shape[1]
            texts = replace(manifest.tokenizer, context_length=length, buckets=(length,), sliced_from=None)
            self.tokenizer = load_tokenizer(texts, folder)

    def run(self, inputs: Sequence[Mapping[str, np.ndarray[Any, Any]]]) -> list[Arrays | FramesiftError]:
        """One file a request."""
        return [self._one(request) for request in inputs]

    def _one(self, request: Mapping[str, np.ndarray[Any, Any]]) -> Arrays | FramesiftError:
        try:
            made = read_features(
                np.ascontiguousarray(request[FEATURES][0]).data, self.profile, self.ports, self.tokenizer
            )
        except FramesiftError as error:
            return error
        return {name: array[None] for name, array in made.items()}
