"""The CPU scorer in numpy alone: the BLAS multiplies, numpy finishes the pairs of a block of videos at a time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from ..lanes import read_rows
from ..walk import Rows, places
from .layout import TINY, HeadShape, upper_triangle
from .operands import Floats, GalleryVectors, TextVectors

# Products of one block: two for each frame, video and query.
_BLOCK_FLOATS = 1 << 20
_TINY = np.float32(TINY)


def score(text: TextVectors, gallery: GalleryVectors, shape: HeadShape, rows: Rows | None = None) -> Floats:
    """Scores [Q, V], or [Q, R] of ``rows``."""
    rows = np.arange(len(gallery)) if rows is None else rows
    return np.concatenate([np.empty((len(text.logit), 0), np.float32), *_parts(text, gallery, shape, rows)], axis=1)


def best(text: TextVectors, gallery: GalleryVectors, shape: HeadShape, n: int, chosen: Rows) -> tuple[Floats, Rows]:
    """The ``n`` best videos of each query among those chosen, ascending: scores and rows [Q, n]."""
    scores, rows = places(len(text.logit), 0)
    done = 0
    for part in _parts(text, gallery, shape, chosen):
        found = chosen[done : done + part.shape[1]]
        done += part.shape[1]
        scores = np.concatenate([scores, part], axis=1)
        rows = np.concatenate([rows, np.broadcast_to(found, part.shape)], axis=1)
        # Candidates stand in the order of their rows until the best are taken, and a stable sort keeps that.
        order = np.argsort(-scores, axis=1, kind="stable")[:, :n]
        scores, rows = np.take_along_axis(scores, order, 1), np.take_along_axis(rows, order, 1)
    return scores, rows


def attention(text: TextVectors, gallery: GalleryVectors, shape: HeadShape, rows: Rows) -> Floats:
    """Attention weights float32 [Q, n, F] of each query on the videos ``rows`` [Q, n], averaged over heads."""
    weights = [_weights(text.only(q), _dense(gallery, own, shape)[:, 0], shape) for q, own in enumerate(rows)]
    return np.concatenate(weights).reshape(*rows.shape, shape.heads, shape.frames).mean(2)


def _parts(text: TextVectors, gallery: GalleryVectors, shape: HeadShape, rows: Rows) -> Iterator[Floats]:
    """Scores [Q, n] of the next n of ``rows``, until none is left."""
    step = max(1, _BLOCK_FLOATS // (2 * shape.entries * len(text.logit)))
    for start in range(0, len(rows), step):
        yield _block(text, gallery, rows[start : start + step], shape)


def _dense(gallery: GalleryVectors, rows: npt.NDArray[np.intp], shape: HeadShape) -> Floats:
    """Frame vectors [n, S, F, D] of the videos ``rows``, whatever they are stored in."""
    frames = gallery.frames[rows].astype(np.float32)
    if gallery.mean is not None:
        sizes = read_rows(gallery.tables, rows)[:, shape.rows :]
        split = frames.reshape(*frames.shape[:3], shape.heads, -1)
        split *= sizes.reshape(-1, shape.streams, shape.heads, shape.frames, 1).swapaxes(2, 3)
        frames[:, -1] += gallery.mean[rows].astype(np.float32)[:, None]
    return frames


def _weights(text: TextVectors, keys: Floats, shape: HeadShape) -> Floats:
    """Attention weights [Q, n, N] on videos with the keys [n, F, D]."""
    return _topk_softmax(_products(text.logit, _heads(keys, shape), shape), shape)


def _block(text: TextVectors, gallery: GalleryVectors, rows: npt.NDArray[np.intp], shape: HeadShape) -> Floats:
    """Scores [Q, n] of the videos ``rows``."""
    frames, tables = _dense(gallery, rows, shape), read_rows(gallery.tables, rows)
    weights = _weights(text, frames[:, 0], shape)
    pooled = np.einsum("qvn,qvn->qv", weights, _products(text.readout, _heads(frames[:, -1], shape), shape))
    i, j, _ = upper_triangle(shape.entries)
    triangle = shape.triangle
    pairs = weights[..., i] * weights[..., j]
    forms = np.matmul(pairs.transpose(1, 0, 2), tables[:, : 3 * triangle].reshape(-1, triangle, 3))
    linear = np.matmul(weights.transpose(1, 0, 2), tables[:, 3 * triangle : shape.rows].reshape(-1, shape.entries, 3))
    (f1, f2, f3), (h2, h3, h4) = forms.transpose(2, 1, 0), linear.transpose(2, 1, 0)
    tau = text.scalars.T[:, :, None]
    sigma = np.sqrt(np.maximum(f1, _TINY))
    r = np.sqrt(np.maximum(f2 + sigma * h2, _TINY))
    norm = f3 + sigma * h3 + r * (h4 + tau[3] * sigma)
    scores = (pooled + tau[0] + sigma * tau[1] + r * tau[2]) / np.sqrt(np.maximum(norm, _TINY))
    return np.where(np.isnan(scores), np.float32(-np.inf), scores)


def _heads(frames: Floats, shape: HeadShape) -> Floats:
    """Vectors [n, F, D] as [H, n F, D / H]."""
    split = frames.reshape(-1, shape.heads, shape.width // shape.heads)
    return np.ascontiguousarray(split.transpose(1, 0, 2))


def _products(text: Floats, frames: Floats, shape: HeadShape) -> Floats:
    """Products [Q, n, N] of every query with every frame, head by head."""
    heads = np.ascontiguousarray(text.reshape(len(text), shape.heads, -1).transpose(1, 0, 2))
    found = np.matmul(heads, frames.transpose(0, 2, 1)).reshape(shape.heads, len(text), -1, shape.frames)
    return np.ascontiguousarray(found.transpose(1, 2, 0, 3)).reshape(len(text), -1, shape.entries)


def _topk_softmax(logits: Floats, shape: HeadShape) -> Floats:
    per_head = logits.reshape(*logits.shape[:2], shape.heads, shape.frames)
    powers = np.exp(per_head - per_head.max(-1, keepdims=True))
    if shape.top_k < shape.frames:
        # A stable sort of the negated logits puts the earlier of two equal frames first.
        order = np.argsort(-per_head, axis=-1, kind="stable")
        np.put_along_axis(powers, order[..., shape.top_k :], np.float32(0), axis=-1)
    return (powers / powers.sum(-1, keepdims=True)).reshape(logits.shape)
