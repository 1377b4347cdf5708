"""Ports of a small model with a scorer graph of its own, for tests that need a manifest but no checkpoint."""

from __future__ import annotations

from collections.abc import Mapping

from framesift.export.bundle.ports import (
    ATTENTION,
    FRAME_EMBEDDINGS,
    FRAMES,
    MEAN_EMBEDDING,
    SCORER,
    SCORES,
    TEXT_EMBEDDING,
    TEXT_ENCODER,
    TOKEN_IDS,
    VIDEO_ENCODER,
    GraphPorts,
    Port,
)


def toy_ports(frames: int, size: int, width: int) -> Mapping[str, GraphPorts]:
    """Records of frame embeddings [F, D] and a mean [D]; texts of one embedding [D]."""
    record = (
        Port(FRAME_EMBEDDINGS, "float32", ("batch", frames, width)),
        Port(MEAN_EMBEDDING, "float32", ("batch", width)),
    )
    scored = (
        Port(TEXT_EMBEDDING, "float32", ("queries", width)),
        Port(FRAME_EMBEDDINGS, "float32", ("videos", frames, width)),
    )
    scores = (
        Port(SCORES, "float32", ("queries", "videos")),
        Port(ATTENTION, "float32", ("queries", "videos", frames)),
    )
    return {
        VIDEO_ENCODER: GraphPorts((Port(FRAMES, "uint8", ("batch", frames, 3, size, size)),), record),
        TEXT_ENCODER: GraphPorts(
            (Port(TOKEN_IDS, "int64", ("batch", "length")),), (Port(TEXT_EMBEDDING, "float32", ("batch", width)),)
        ),
        SCORER: GraphPorts(scored, scores),
    }
