"""Mug-STAN's score behind the products, for Triton kernels and those in Gluon. ``reference`` has the formula.

Each similarity s takes one exponential, exp(tau (s - top)) with the largest similarity ``top`` of its word, for both
softmaxes: times exp(tau (top - most)), with the largest ``most`` of the pair, it weighs the word in its frame. What
float32 makes zero of that way belongs to frames that lie 0.69 below the best one at tau = 100, whose own weight in a
score is below 1e-28.
"""

from __future__ import annotations

# mypy: ignore-errors
import triton
import triton.language as tl

LOG2_E = tl.constexpr(1.4426950408889634)
TINY = tl.constexpr(1e-30)
# Largest exponent of 2 that is taken, where a word's only similarities are negative or zero.
LARGEST_POWER = tl.constexpr(120.0)


@triton.jit
def _mean(total, weight, enough):
    """Weighted means, and 0 where there is no weight; one that is not a number stays so."""
    none = weight <= enough
    return tl.where(none, 0.0, total / tl.where(none, 1.0, weight))


@triton.jit
def pooled(similar, F: tl.constexpr, tau):
    """Scores [queries, videos] of a tuple of F similarities [queries, words, videos]; 0 for a text without words."""
    sharp = tau * LOG2_E
    top = similar[0]
    for f in tl.static_range(1, F):
        top = tl.maximum(top, similar[f])
    # what is zero for all frames is no word
    most = tl.max(tl.where(top == 0.0, float("-inf"), top), 1)
    most = tl.where(most == float("-inf"), 0.0, most)
    shift = top * sharp
    rise = tl.exp2(tl.minimum(shift - (most * sharp)[:, None, :], LARGEST_POWER))
    for f in tl.static_range(F):
        power = tl.exp2(tl.fma(similar[f], sharp, -shift))
        in_frame = tl.where(similar[f] == 0.0, 0.0, power * rise)
        frame_weight = tl.sum(in_frame, 1)
        frame = _mean(tl.sum(in_frame * similar[f], 1), frame_weight, TINY)
        of_frame = tl.where(frame_weight <= TINY, 0.0, tl.exp2((frame - most) * sharp))
        if f == 0:
            word_weight = power
            word_total = power * similar[f]
            weight = of_frame
            to_text = of_frame * frame
        else:
            word_weight += power
            word_total = tl.fma(power, similar[f], word_total)
            weight += of_frame
            to_text = tl.fma(of_frame, frame, to_text)
    word = word_total / word_weight
    of_word = tl.exp2(tl.minimum((word - most[:, None, :]) * sharp, LARGEST_POWER))
    of_word = tl.where(word == 0.0, 0.0, of_word)
    to_video = _mean(tl.sum(of_word * word, 1), tl.sum(of_word, 1), 0.0)
    return (to_video + _mean(to_text, weight, 0.0)) * 0.5
