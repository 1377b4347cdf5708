"""Texts as UTF-8 bytes to token ids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...export.bundle.errors import FramesiftError, InvalidQuery, InvalidRequest, ServerUnavailable
from ...export.bundle.models import IN_FLIGHT
from ...export.bundle.packing import decode
from ...export.bundle.ports import ADMISSION_STAMP, TEXT, TEXT_LENGTH, TOKEN_IDS
from ...export.bundle.store import read_manifest
from ...export.bundle.text.tokenizers import Tokenizer, load_tokenizer
from .admission import AdmissionControl, Completed
from .base import Arrays, Backend


class TokenizerBackend(Backend):
    """Reads ``text`` uint8 [B, N] with ``text_length`` int32 [B, 1]; writes ``token_ids`` int64 [B, W].

    A request that also asks for ``admission_stamp`` int64 [B, 1] is a search; the configuration says how many are
    admitted.
    """

    tokenizer: Tokenizer
    admission: AdmissionControl
    _stamp = 0

    def setup(self, config: dict[str, Any], folder: Path) -> None:
        """Load the vocabulary that lies beside the manifest."""
        self.tokenizer = load_tokenizer(read_manifest(folder).tokenizer, folder)

    def initialize(self, args: Mapping[str, str]) -> None:
        """As ``Backend.initialize``."""
        super().initialize(args)
        self.admission = AdmissionControl(Completed.of_this_server(), int(self.parameters[IN_FLIGHT]))

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """As ``Backend.execute``, but that searches beyond what the later steps need to be busy are refused."""
        texts = [_texts(request) for request in requests]
        self._stamp = self.admission.next_stamp()
        admitted = [not count or self.admission.admit(count) for count in texts]
        responses = self._exchange.execute(
            requests, self.run, [None if let_in else self._full() for let_in in admitted]
        )
        for count, let_in, response in zip(texts, admitted, responses, strict=True):
            if let_in and response.has_error():
                self.admission.release(count)
        return responses

    def run(self, inputs: Sequence[Mapping[str, np.ndarray[Any, Any]]]) -> list[Arrays | FramesiftError]:
        """Each request on its own: one bad text must not spoil the others'."""
        return [self._one(request) for request in inputs]

    def _full(self) -> ServerUnavailable:
        return ServerUnavailable(f"the server is searching for {self.admission.in_flight} texts already: try again")

    def _one(self, request: Mapping[str, np.ndarray[Any, Any]]) -> Arrays | FramesiftError:
        rows, lengths = request[TEXT], request[TEXT_LENGTH].ravel()
        if len(rows) != len(lengths) or (lengths < 0).any() or (lengths > rows.shape[1]).any():
            return InvalidRequest(
                f"{TEXT_LENGTH} must give for each of {len(rows)} texts at most {rows.shape[1]} bytes"
            )
        try:
            texts = [
                decode(row[:length].tobytes(), TEXT, InvalidQuery) for row, length in zip(rows, lengths, strict=True)
            ]
            return {
                TOKEN_IDS: self.tokenizer.encode(texts),
                ADMISSION_STAMP: np.full((len(texts), 1), self._stamp, np.int64),
            }
        except InvalidQuery as error:
            return error


def _texts(request: Any) -> int:
    """The texts of a search; 0 for what is none."""
    if ADMISSION_STAMP not in request.requested_output_names():
        return 0
    return sum(len(tensor.as_numpy()) for tensor in request.inputs() if tensor.name() == TEXT_LENGTH)
