"""Triton kernels of X-CLIP's score: all pairs of Q texts and V videos. ``reference`` has the formula.

``attend(s, M)`` = sum_n s_n (p M)_n with p = softmax(s / 0.01) is p . (M s). Where s are similarities of words, M s are
those of the words times M: so both matrices of words that stand beside a record are folded into the text before, and
a pair takes a product with words and folded words instead of one with W x W weights a frame behind it. The matrices of
frames are applied in registers, a frame's similarities being tensors of their own; the last one of words is applied to
what each word makes of the frames.

Two kernels, because whole videos and their frames want different tiles: ``whole_kernel`` writes what the video vectors
give, ``fine_kernel`` adds what the frames give.
"""

from __future__ import annotations

# mypy: ignore-errors
import triton
import triton.language as tl

from ..device.apart import fold, frames_apart, parted, word_rows, words_apart
from ..device.keep import keep, numbers
from ..device.products import frame_products, tile_of

LOG2_E = tl.constexpr(1.4426950408889634)


@triton.jit
def _sentence_rows(q0, Q, BQ: tl.constexpr):
    """Which vector [16] of SENTENCE [Q, 3, D], as ``of_sentences`` makes it, each row reads: 16 / BQ are a query's."""
    r = tl.arange(0, 16)
    return tl.minimum(r // (16 // BQ), Q - 1 - q0) * 3 + tl.minimum(r % (16 // BQ), 2)


@triton.jit
def _sentences(sums, BQ: tl.constexpr):
    """[16, BV] of ``_sentence_rows`` -> [BQ, BV]."""
    return tl.sum(tl.reshape(sums, [BQ, 16 // BQ, sums.shape[1]]), 1)


@triton.jit
def _over_words(similar, folded, inside, sharp):
    """Attention over words [BQ, W, BV] -> [BQ, BV]; ``inside`` [1, W, 1] tells which there are."""
    top = tl.max(tl.where(inside, similar, float("-inf")), 1)
    power = tl.where(inside, tl.exp2((similar - top[:, None, :]) * sharp), 0.0)
    return tl.sum(power * folded, 1) / tl.sum(power, 1)


@triton.jit
def _over_frames(similar, MATRIX, F: tl.constexpr, sharp):
    """Attention over a tuple of F tensors, elementwise; MATRIX float32 [F, F]."""
    top = similar[0]
    for f in tl.static_range(1, F):
        top = tl.maximum(top, similar[f])
    weight = tl.zeros_like(top)
    total = tl.zeros_like(top)
    for f in tl.static_range(F):
        mixed = similar[0] * tl.load(MATRIX + f * F)
        for g in tl.static_range(1, F):
            mixed = tl.fma(similar[g], tl.load(MATRIX + (f * F + g)), mixed)
        power = tl.exp2((similar[f] - top) * sharp)
        weight += power
        total = tl.fma(power, mixed, total)
    return total / weight


@triton.jit(do_not_specialize=["Q", "V"])
def whole_kernel(
    TEXT, FOLDED, SENTENCE, X, Q, V, SHARPNESS, OUT,
    F: tl.constexpr, CHUNKS: tl.constexpr, D: tl.constexpr, W: tl.constexpr, WORDS: tl.constexpr, PARTS: tl.constexpr,
    BQ: tl.constexpr, BV: tl.constexpr, BK: tl.constexpr, STAGES: tl.constexpr,
):  # fmt: skip
    """OUT float32 [Q, V]: similarities of videos X float16 [V, 1, D] with sentences and with words, added.

    TEXT and FOLDED are float16 [Q, PARTS, W, D], words and words times ``word_logit``, zeros beyond WORDS; SENTENCE is
    float16 [Q, 3, D].
    """
    q0, v0 = tile_of(Q, BQ, BV)
    at = q0.to(tl.int64) * (PARTS * W * D)
    texts = (TEXT + at, FOLDED + at, SENTENCE + q0.to(tl.int64) * (3 * D))
    words = word_rows(q0, Q, BQ, W, PARTS)
    rows = (words, words, _sentence_rows(q0, Q, BQ))
    sums = frame_products(texts, rows, X + v0.to(tl.int64) * D, V - 1 - v0, F, CHUNKS, D, BV, BK, STAGES)
    similar = words_apart(fold(sums[0], BQ * W, PARTS), BQ, W, PARTS)
    folded = words_apart(fold(sums[1], BQ * W, PARTS), BQ, W, PARTS)
    inside = (tl.arange(0, W) < WORDS)[None, :, None]
    scores = _sentences(sums[2], BQ) + _over_words(similar, folded, inside, SHARPNESS * LOG2_E)
    q = (q0 + tl.arange(0, BQ))[:, None]
    v = (v0 + tl.arange(0, BV))[None, :]
    tl.store(OUT + q.to(tl.int64) * V + v, scores, mask=(q < Q) & (v < V))


@triton.jit(do_not_specialize=["Q", "V"])
def fine_kernel(
    TEXT, SENTENCE, X, FRAME_LOGIT, FRAME_MAT, FRAME_MAT2, WORD_MAT2, LIVE, Q, V, SHARPNESS, SCALE, OUT,
    LARGEST,
    F: tl.constexpr, CHUNKS: tl.constexpr, D: tl.constexpr, W: tl.constexpr, WORDS: tl.constexpr, BQ: tl.constexpr,
    BV: tl.constexpr, BK: tl.constexpr, STAGES: tl.constexpr, GROUP: tl.constexpr,
):  # fmt: skip
    """OUT float32 [Q, V], which holds what ``whole_kernel`` wrote, to the scores of frames X float16 [V, F, D].

    TEXT is float16 [Q, 2, W, D]: mixed words, and these times ``word_mat``, which stand 8 rows apart, so that a thread
    has both similarities of a word. SENTENCE is as for ``whole_kernel``.
    FRAME_* are float32 [F, F], WORD_MAT2 is float32 [W, W], turned over, zeros beyond WORDS. See ``keep`` for others.
    """
    q0, v0 = tile_of(Q, BQ, BV)
    texts = (TEXT + q0.to(tl.int64) * (2 * W * D), SENTENCE + q0.to(tl.int64) * (3 * D))
    rows = (word_rows(q0, Q, BQ, W, 2), _sentence_rows(q0, Q, BQ))
    sums = frame_products(texts, rows, X + v0.to(tl.int64) * (F * D), V - 1 - v0, F, CHUNKS, D, BV, BK, STAGES)
    apart = ()
    folded = ()
    sentence = ()
    for c in tl.static_range(len(CHUNKS)):
        words, mixed_words = parted(sums[2 * c], BQ * W)
        apart += frames_apart(words, BQ * W, BV, CHUNKS[c])
        folded += frames_apart(mixed_words, BQ * W, BV, CHUNKS[c])
        sentence += frames_apart(_sentences(sums[2 * c + 1], BQ), BQ, BV, CHUNKS[c])

    sharp = SHARPNESS * LOG2_E
    inside = (tl.arange(0, W) < WORDS)[None, :, None]
    similar = ()
    by_frame = ()
    for f in tl.static_range(F):
        similar += (words_apart(apart[f], BQ, W, 2),)
        by_frame += (_over_words(similar[f], words_apart(folded[f], BQ, W, 2), inside, sharp),)
    by_word = tl.where(inside, _over_frames(similar, FRAME_MAT, F, sharp), 0.0)
    # word_mat2 times by_word, a sum over the words of [BQ, words, W, BV]
    n = tl.arange(0, W)
    matrix = tl.load(WORD_MAT2 + n[:, None] * W + n[None, :])
    mixed = tl.sum(by_word[:, :, None, :] * matrix[None, :, :, None], 1)
    fine = _over_words(by_word, mixed, inside, sharp)
    # without these the matrices of frames would be read ahead of their use, all at once, into more registers than are
    tl.debug_barrier()
    fine += _over_frames(by_frame, FRAME_MAT2, F, sharp)
    tl.debug_barrier()
    by_sentence = _over_frames(sentence, FRAME_LOGIT, F, sharp)

    q = q0 + tl.arange(0, BQ)
    v = v0 + tl.arange(0, BV)
    at = q[:, None].to(tl.int64) * V + v[None, :]
    whole = tl.load(OUT + at, mask=(q < Q)[:, None] & (v < V)[None, :], other=0.0)
    scores = numbers((whole + by_sentence + 0.5 * fine) * (SCALE * 0.25))
    keep(scores, q, v, Q, V, LIVE, OUT, LARGEST, GROUP)
