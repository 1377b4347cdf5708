"""Tensors of requests, which the models of every bundle have alike."""

from __future__ import annotations

from collections.abc import Mapping

from ...export.bundle.checks import DIGEST_BYTES
from ...export.bundle.errors import BundleError
from ...export.bundle.like import PREFIX as LIKE
from ...export.bundle.ports import (
    CANDIDATE_LENGTHS,
    CANDIDATES,
    DETAILS,
    DIGEST,
    DURATION,
    FEATURES,
    ID,
    LIKE_ENCODER,
    METADATA,
    OPTIONS,
    PART,
    SOURCE,
    SPAN,
    TEXT,
    TEXT_ENCODER,
    TEXT_LENGTH,
    TIMESTAMPS,
    TOP,
    VIDEO,
    VIDEO_ENCODER,
)
from ...export.bundle.shortlist import PREFIX as SHORTLIST
from ...export.bundle.spec import GraphPorts, TensorSpec

# What a search asks for, beside its text; a plain one names no videos.
TOP_SPEC = TensorSpec(TOP, "int32", (1,))
NAMED = (
    TensorSpec(CANDIDATES, "uint8", ("candidate bytes",)),
    TensorSpec(CANDIDATE_LENGTHS, "int32", ("candidates",)),
)
ASKED = (TOP_SPEC, *NAMED)
OPTIONS_SPEC = TensorSpec(OPTIONS, "uint8", ("option bytes",))
DETAILS_SPEC = TensorSpec(DETAILS, "uint8", ("detail bytes",))
# Which segment of a film is wanted, and which one came.
PART_SPEC = TensorSpec(PART, "uint8", ("part bytes",))
SPAN_SPEC = TensorSpec(SPAN, "float64", (4,))
# What is said of a video that is to be kept.
ID_SPEC = TensorSpec(ID, "uint8", ("id bytes",))
DESCRIPTION = (
    ID_SPEC,
    TensorSpec(SOURCE, "uint8", ("source bytes",)),
    TensorSpec(DIGEST, "uint8", (DIGEST_BYTES,)),
    TensorSpec(METADATA, "uint8", ("metadata bytes",)),
)


def check_names(graphs: Mapping[str, GraphPorts]) -> None:
    """Whether no tensor of a bundle's encoders has the name of one that requests have.

    Raises:
        BundleError: one has.
    """
    # A tensor keeps its name through an ensemble, so a graph's would stand for what came with the request.
    taken = {
        VIDEO,
        FEATURES,
        TEXT,
        TEXT_LENGTH,
        TIMESTAMPS,
        DURATION,
        *(port.name for port in (*ASKED, OPTIONS_SPEC, DETAILS_SPEC, PART_SPEC, SPAN_SPEC)),
        *(port.name for port in DESCRIPTION),
    }
    seen = set[str]()
    for graph in (VIDEO_ENCODER, TEXT_ENCODER):
        named = {port.name for port in (*graphs[graph].inputs, *graphs[graph].outputs)}
        if clash := sorted((taken & named) | {name for name in named if name.startswith((LIKE, SHORTLIST))}):
            raise BundleError(f"tensors of the {graph} can't be named {', '.join(clash)}: requests have such tensors")
        # A video that is searched with and a text beside it go through one ensemble, with one prefix.
        if LIKE_ENCODER in graphs and (both := sorted(named & seen)):
            raise BundleError(
                f"tensors of both encoders are named {', '.join(both)}: a search by a video has those of both, so name "
                "them apart and export again"
            )
        seen |= named
