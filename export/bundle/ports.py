"""Names, dtypes and symbolic dimensions of every graph's inputs and outputs.

The names of tensors are written here and nowhere else. A dimension is a number, or a name where it varies:
``batch``, ``length`` (token positions), ``queries`` and ``videos``.
"""

from __future__ import annotations

from ...kernels.topk_attention.layout import SCALARS, HeadShape
from .spec import GraphPorts, TensorSpec

VIDEO_ENCODER = "video_encoder"
TEXT_ENCODER = "text_encoder"
SCORER = "scorer"
GRAPHS = (VIDEO_ENCODER, TEXT_ENCODER, SCORER)

FRAMES = "frames"
# 1 for a frame of the video and 0 for padding, and the draw of a system that selects with noise.
MASK = "mask"
NOISE = "noise"
FRAME_EMBEDDINGS = "frame_embeddings"
FRAME_MASK = "frame_mask"
VIDEO_EMBEDDING = "video_embedding"
MEAN_EMBEDDING = "mean_embedding"
FRAME_VECTORS = "frame_vectors"
GRAM_TABLE = "gram_table"
TOKEN_IDS = "token_ids"
TEXT_EMBEDDING = "text_embedding"
MIXED_TEXT_EMBEDDING = "mixed_text_embedding"
WORD_EMBEDDINGS = "word_embeddings"
MIXED_WORD_EMBEDDINGS = "mixed_word_embeddings"
# Embeddings with the position that a cross-encoder gives them.
PLACED_TEXT = "placed_text"
PLACED_FRAMES = "placed_frames"
LOGIT_VECTOR = "logit_vector"
READOUT_VECTOR = "readout_vector"
TEXT_SCALARS = "text_scalars"
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
TICKET = "ticket"
TOP = "top"
PRESENT = "present"
COUNT = "count"
VERSION = "version"


def topk_attention_ports(shape: HeadShape, image_size: int) -> dict[str, GraphPorts]:
    """The three graphs of a system scored by ``topk_attention``, in its factorised form.

    The video record is ``frame_vectors`` [S, F, D] and ``gram_table`` [R], which the scorer reads, and
    ``mean_embedding`` [D], the unit-length mean of the raw frame embeddings, for a first-stage search. The text
    record is the two vectors [D] that frames are multiplied with, and four scalars.
    """
    f, s, d = shape.frames, image_size, shape.width

    def text(batch: str) -> tuple[TensorSpec, ...]:
        vectors = (TensorSpec(name, "float32", (batch, d)) for name in (LOGIT_VECTOR, READOUT_VECTOR))
        return (*vectors, TensorSpec(TEXT_SCALARS, "float32", (batch, SCALARS)))

    def record(batch: str) -> tuple[TensorSpec, ...]:
        return (
            TensorSpec(FRAME_VECTORS, "float32", (batch, shape.streams, f, d)),
            # Sums of squares: float16 would take more from a score than it takes in all frames.
            TensorSpec(GRAM_TABLE, "float32", (batch, shape.rows), stored="float32"),
        )

    mean = TensorSpec(MEAN_EMBEDDING, "float32", ("batch", d))
    return {
        VIDEO_ENCODER: GraphPorts((TensorSpec(FRAMES, "uint8", ("batch", f, 3, s, s)),), (*record("batch"), mean)),
        TEXT_ENCODER: GraphPorts((TensorSpec(TOKEN_IDS, "int64", ("batch", "length")),), text("batch")),
        SCORER: GraphPorts(
            (*text("queries"), *record("videos")),
            (
                TensorSpec(SCORES, "float32", ("queries", "videos")),
                TensorSpec(ATTENTION, "float32", ("queries", "videos", f)),
            ),
        ),
    }
