"""A search by a video as a request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from tritonclient.grpc import InferResult

from ...export.bundle.packing import pack_rows
from ...export.bundle.ports import ID, TOP
from . import wire
from .answers import search_results
from .results import SearchResult
from .signature import Signature
from .uploads import Brought


def like_call(
    model: str,
    text: bytes | None,
    top: int,
    candidates: Sequence[str] | None,
    options: Mapping[str, Any],
    named: str,
    brought: Brought | None = None,
    takes: Signature | None = None,
) -> wire.Call[SearchResult]:
    """A call that searches with a video, and with a text if there is one.

    Args:
        named: what the result calls the video.
        brought: what is sent of it, to a model that ``takes`` these; None where the options name it.

    Raises:
        InvalidRequest: candidates that break the rules.
    """
    inputs = {} if text is None else wire.text_arrays([text])
    inputs[TOP] = np.array([[top]], np.int32)
    if candidates is not None:
        inputs |= {name: values[None] for name, values in wire.candidate_arrays(candidates).items()}
    if brought is not None and takes is not None:
        inputs |= brought.tensors(takes)
        if ID in takes:
            # A model that draws noise draws it by the id.
            inputs[ID] = pack_rows([brought.named.id.encode()])

    def read(result: InferResult) -> SearchResult:
        (found,) = search_results(result, ["" if text is None else text.decode()], named)
        return found

    return wire.Call(model, wire.tensors(inputs), read, options)
