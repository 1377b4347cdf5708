"""Names, dtypes and symbolic dimensions of every graph's inputs and outputs.

The names of tensors are written here and nowhere else. A dimension is a number, or a name where it varies:
``batch``, ``length`` (token positions), ``queries`` and ``videos``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

VIDEO_ENCODER = "video_encoder"
TEXT_ENCODER = "text_encoder"
SCORER = "scorer"
GRAPHS = (VIDEO_ENCODER, TEXT_ENCODER, SCORER)

FRAMES = "frames"
FRAME_EMBEDDINGS = "frame_embeddings"
MEAN_EMBEDDING = "mean_embedding"
TOKEN_IDS = "token_ids"
TEXT_EMBEDDING = "text_embedding"
SCORES = "scores"
ATTENTION = "attention"

# Tensors that only the served models know.
VIDEO = "video"
ID = "id"
IDS = "ids"
ID_LENGTHS = "id_lengths"
DIGEST = "digest"
DIGESTS = "digests"
SOURCE = "source"
METADATA = "metadata"
TIMESTAMPS = "timestamps"
DURATION = "duration"
TEXT = "text"
TEXT_LENGTH = "text_length"
TOP = "top"
PRESENT = "present"
COUNT = "count"
VERSION = "version"


@dataclass(frozen=True)
class Port:
    """One input or output of a graph. ``dtype`` is a numpy name: uint8, int64, float32, ..."""

    name: str
    dtype: str
    dims: tuple[int | str, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """``dims`` with -1 for every dimension that varies."""
        return tuple(-1 if isinstance(d, str) else d for d in self.dims)


@dataclass(frozen=True)
class GraphPorts:
    """The inputs and outputs of one graph, in order."""

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]


def topk_attention_ports(frames: int, image_size: int, embed_dim: int) -> Mapping[str, GraphPorts]:
    """The three graphs of a system scored by ``topk_attention``.

    The video record is ``frame_embeddings`` [F, D] (temporal encoding applied), which the scorer reads, and
    ``mean_embedding`` [D], the unit-length mean of the raw frame embeddings, for a first-stage search.
    """
    f, s, d = frames, image_size, embed_dim
    text = Port(TEXT_EMBEDDING, "float32", ("batch", d))
    record = Port(FRAME_EMBEDDINGS, "float32", ("batch", f, d))
    mean = Port(MEAN_EMBEDDING, "float32", ("batch", d))
    return {
        VIDEO_ENCODER: GraphPorts((Port(FRAMES, "uint8", ("batch", f, 3, s, s)),), (record, mean)),
        TEXT_ENCODER: GraphPorts((Port(TOKEN_IDS, "int64", ("batch", "length")),), (text,)),
        SCORER: GraphPorts(
            (
                Port(TEXT_EMBEDDING, "float32", ("queries", d)),
                Port(FRAME_EMBEDDINGS, "float32", ("videos", f, d)),
            ),
            (
                Port(SCORES, "float32", ("queries", "videos")),
                Port(ATTENTION, "float32", ("queries", "videos", f)),
            ),
        ),
    }
