"""Tensors of requests, which the models of every bundle have alike."""

from __future__ import annotations

from ...export.bundle.checks import DIGEST_BYTES
from ...export.bundle.ports import (
    CANDIDATE_LENGTHS,
    CANDIDATES,
    DETAILS,
    DIGEST,
    ID,
    METADATA,
    OPTIONS,
    SOURCE,
    TOP,
)
from ...export.bundle.spec import TensorSpec

# What a search asks for, beside its text.
ASKED = (
    TensorSpec(TOP, "int32", (1,)),
    TensorSpec(CANDIDATES, "uint8", ("candidate bytes",)),
    TensorSpec(CANDIDATE_LENGTHS, "int32", ("candidates",)),
)
OPTIONS_SPEC = TensorSpec(OPTIONS, "uint8", ("option bytes",))
DETAILS_SPEC = TensorSpec(DETAILS, "uint8", ("detail bytes",))
# What is said of a video that is to be kept.
ID_SPEC = TensorSpec(ID, "uint8", ("id bytes",))
DESCRIPTION = (
    ID_SPEC,
    TensorSpec(SOURCE, "uint8", ("source bytes",)),
    TensorSpec(DIGEST, "uint8", (DIGEST_BYTES,)),
    TensorSpec(METADATA, "uint8", ("metadata bytes",)),
)
