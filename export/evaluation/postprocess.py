"""Post-processing that some papers report with: it changes scores by what other queries scored.

A server answers one query at a time and has no other queries, so neither can be served, and numbers obtained with
either say nothing about the served ranking. Both are here to reproduce published rows.
"""

from __future__ import annotations

import numpy as np

from .scores import Floats


def dual_softmax(scores: Floats) -> Floats:
    """DSL (Cheng et al. 2021, as TS2-Net evaluates with it): each score times its softmax over all test *queries*.

    The softmax depends on the scale: give logits, not cosines. Negative scores are drawn towards 0 like positive ones,
    hence upwards.

    Args:
        scores: [Q, V], all captions of the test set. TS2-Net reads video-to-text off the columns of the same result.
    """
    weights = np.exp(scores - scores.max(0, keepdims=True))
    shared: Floats = scores * (weights / weights.sum(0, keepdims=True))
    return shared


def querybank_norm(scores: Floats, bank: Floats, *, k: int = 1, beta: float = 0.87, theta: int = 3) -> Floats:
    """QB-norm (Bogolin et al. 2022) as DGL evaluates with it: discounts items that a bank of training queries favours.

    An item is a hub if it is among the top ``k`` of ``theta`` or more bank queries. The scores of a test query whose
    best item is a hub become exp(beta s) over the sum of exp(beta s) of the bank, item by item; other rows stay as they
    are, so rows are no longer comparable with one another and columns can't be ranked.

    Args:
        scores: [Q, V], the test queries.
        bank: [N, V], queries of the training set against the same items.

    The exponentials depend on the scale: ``beta`` goes with logits.
    """
    top = np.argsort(-bank, axis=1, kind="stable")[:, :k]
    hubs = np.bincount(top.ravel(), minlength=bank.shape[1]) >= theta
    chosen = hubs[np.argmax(scores, axis=1)]
    logits, others = beta * scores[chosen].astype(np.float64), beta * bank.astype(np.float64)
    # Shifted item by item: far below an item's largest score all exponentials together would come to 0.
    largest = others.max(0)
    normalised: Floats = scores.astype(np.float64)
    normalised[chosen] = np.exp(logits - largest) / np.exp(others - largest).sum(0)
    return normalised
