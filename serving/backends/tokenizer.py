"""Texts as UTF-8 bytes to token ids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...export.bundle.errors import FramesiftError, InvalidQuery, InvalidRequest, ServerUnavailable
from ...export.bundle.manifest import Manifest
from ...export.bundle.ports import TEXT, TEXT_LENGTH, TICKET, TOKEN_IDS
from ...export.bundle.store import MANIFEST
from ...export.bundle.text.cleaning import decode_text
from ...export.bundle.text.clip_bpe import Tokenizer
from .admission import UNDER_WAY, Out, Turnstile
from .base import Arrays, Backend


class TokenizerBackend(Backend):
    """Reads ``text`` uint8 [B, N] with ``text_length`` int32 [B, 1]; writes ``token_ids`` int64 [B, W].

    Who asks for ``ticket`` int64 [B, 1] as well is a search, of which so many are let in as the configuration says.
    """

    tokenizer: Tokenizer
    turnstile: Turnstile
    _ticket = 0

    def setup(self, config: dict[str, Any], folder: Path) -> None:
        """Load the vocabulary that lies beside the manifest."""
        profile = Manifest.from_json((folder / MANIFEST).read_text(encoding="utf-8")).tokenizer
        self.tokenizer = Tokenizer.load(folder / profile.merges, profile)

    def initialize(self, args: Mapping[str, str]) -> None:
        """As ``Backend.initialize``."""
        super().initialize(args)
        self.turnstile = Turnstile(Out.of_this_server(), int(self.parameters[UNDER_WAY]))

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """As ``Backend.execute``, but that searches beyond what the later steps need to be busy are refused."""
        texts = [_texts(request) for request in requests]
        self._ticket = self.turnstile.next_ticket()
        entered = [not count or self.turnstile.enter(count) for count in texts]
        responses = self._exchange.execute(requests, self.run, [None if let_in else self._full() for let_in in entered])
        for count, let_in, response in zip(texts, entered, responses, strict=True):
            if let_in and response.has_error():
                self.turnstile.leave(count)
        return responses

    def run(self, inputs: Sequence[Mapping[str, np.ndarray[Any, Any]]]) -> list[Arrays | FramesiftError]:
        """Each request on its own: one bad text must not spoil the others'."""
        return [self._one(request) for request in inputs]

    def _full(self) -> ServerUnavailable:
        return ServerUnavailable(f"the server is searching for {self.turnstile.under_way} texts already: try again")

    def _one(self, request: Mapping[str, np.ndarray[Any, Any]]) -> Arrays | FramesiftError:
        rows, lengths = request[TEXT], request[TEXT_LENGTH].ravel()
        if len(rows) != len(lengths) or (lengths < 0).any() or (lengths > rows.shape[1]).any():
            return InvalidRequest(
                f"{TEXT_LENGTH} must give for each of {len(rows)} texts at most {rows.shape[1]} bytes"
            )
        try:
            texts = [decode_text(row[:length].tobytes()) for row, length in zip(rows, lengths, strict=True)]
            return {
                TOKEN_IDS: self.tokenizer.encode(texts),
                TICKET: np.full((len(texts), 1), self._ticket, np.int64),
            }
        except InvalidQuery as error:
            return error


def _texts(request: Any) -> int:
    """The texts of a search; 0 for what is none."""
    if TICKET not in request.requested_output_names():
        return 0
    return sum(len(tensor.as_numpy()) for tensor in request.inputs() if tensor.name() == TEXT_LENGTH)
