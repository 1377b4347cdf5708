"""Texts as UTF-8 bytes to token ids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...export.bundle.errors import FramesiftError, InvalidQuery, InvalidRequest
from ...export.bundle.manifest import Manifest
from ...export.bundle.ports import TEXT, TEXT_LENGTH, TOKEN_IDS
from ...export.bundle.store import MANIFEST
from ...export.bundle.text import Tokenizer
from ...export.bundle.words import decode_text
from .base import Arrays, Backend


class TokenizerBackend(Backend):
    """Reads ``text`` uint8 [B, N] with ``text_length`` int32 [B, 1]; writes ``token_ids`` int64 [B, W]."""

    tokenizer: Tokenizer

    def setup(self, config: dict[str, Any], folder: Path) -> None:
        """Load the vocabulary that lies beside the manifest."""
        profile = Manifest.from_json((folder / MANIFEST).read_text(encoding="utf-8")).tokenizer
        self.tokenizer = Tokenizer.load(folder / profile.merges, profile)

    def run(self, inputs: Sequence[Mapping[str, np.ndarray[Any, Any]]]) -> list[Arrays | FramesiftError]:
        """Each request on its own: one bad text must not spoil the others'."""
        return [self._one(request) for request in inputs]

    def _one(self, request: Mapping[str, np.ndarray[Any, Any]]) -> Arrays | FramesiftError:
        rows, lengths = request[TEXT], request[TEXT_LENGTH].ravel()
        if len(rows) != len(lengths) or (lengths < 0).any() or (lengths > rows.shape[1]).any():
            return InvalidRequest(
                f"{TEXT_LENGTH} must give for each of {len(rows)} texts at most {rows.shape[1]} bytes"
            )
        try:
            texts = [decode_text(row[:length].tobytes()) for row, length in zip(rows, lengths, strict=True)]
            return {TOKEN_IDS: self.tokenizer.encode(texts)}
        except InvalidQuery as error:
            return error
