"""The records that ``kernels.topk_attention`` scores, in its factorised form. Letters in shapes: its ``layout``."""

from __future__ import annotations

from ...kernels.topk_attention.layout import SCALARS, HeadShape
from .ports import FRAME_VECTORS, GRAM_TABLE, LOGIT_VECTOR, MEAN_EMBEDDING, READOUT_VECTOR, TEXT_SCALARS
from .spec import TensorSpec


def text_record(shape: HeadShape) -> tuple[TensorSpec, ...]:
    """The two vectors [D] that frames are multiplied with, and four scalars."""
    return (
        TensorSpec(LOGIT_VECTOR, "float32", (shape.width,)),
        TensorSpec(READOUT_VECTOR, "float32", (shape.width,)),
        TensorSpec(TEXT_SCALARS, "float32", (SCALARS,)),
    )


def video_record(shape: HeadShape) -> tuple[TensorSpec, ...]:
    """``frame_vectors`` [S, F, D] and ``gram_table`` [R], which the scorer reads, and ``mean_embedding`` [D].

    The last is the unit-length mean of the raw frame embeddings, for a first-stage search.
    """
    return (
        TensorSpec(FRAME_VECTORS, "float32", (shape.streams, shape.frames, shape.width)),
        # Sums of squares: float16 would take more from a score than it takes in all frames.
        TensorSpec(GRAM_TABLE, "float32", (shape.rows,), stored="float32"),
        TensorSpec(MEAN_EMBEDDING, "float32", (shape.width,), scored=False),
    )
