"""One card per scorer: all that a search, an engine or a comparison has to know before it calls one.

What a graph holds in memory was measured with ONNX Runtime on the exported formulas at D = 512, F = 12 and W = 32, from
the growth of the process over 1 and 32 texts against 2,000 videos; the cards round it up. Time on two cores, 1 and 32
texts:

===============  ================  ===============  ========
scorer           floats a pair     measured         seconds
===============  ================  ===============  ========
dot              2                 2                0.0002, 0.0013
frame_softmax    4 F               3.4 F            0.04, 0.08
topk_attention   11 F              10.3 F           0.15, 0.38
multi_grained    5 F W             4.7 F W          0.14, 0.97
token_frame      7 F W             6.4 F W          0.08, 0.97
cross_encoder    26 (1 + F) D      24 to 25         0.003 a pair
===============  ================  ===============  ========

Beside the pairs, a graph holds about two copies of its block of video records, and one more is widened to float32.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy.typing as npt

from ...kernels.topk_attention.layout import LANES
from .errors import BundleError
from .limits import MAX_SHORTLIST
from .manifest import Manifest
from .models import TEXT_BATCH
from .ports import FRAME_EMBEDDINGS, FRAME_VECTORS, GRAM_TABLE, MEAN_EMBEDDING, SCORER, TEXT_ENCODER, VIDEO_EMBEDDING

# What one call of a scorer may hold, in bytes.
BLOCK_BYTES = 128 << 20

_COPIES = 3

# Every video by the exported graph; a short list by it; every video by a scan of the scorer's own.
Search = Literal["graph", "shortlist", "topk_attention"]


@dataclass(frozen=True)
class Sizes:
    """F frames of a video, W word positions of a text, D numbers a vector.

    F is 1 where a video brings no frames, and W where a text's record holds nothing a word.
    """

    frames: int
    words: int
    width: int


@dataclass(frozen=True)
class ScorerCard:
    """What sets a scorer apart from the others. ``name`` is its folder in ``kernels/``, and what manifests call it.

    Attributes:
        pair_floats: that its graph holds for every pair.
        operations: of the matrix products that score one pair, as a formula of F, W and D, and of L layers.
        attends: whether it weighs the frames and returns the weights.
        selects: whether it keeps some frames and drops the others; where two are nearly equal, rounding may turn which.
        fixed_length: whether every token position takes part, so that a text must have exactly as many as the model.
        search: which ranker finds with it, see ``serving/search/rankers.py``.
        shortlist: how many videos of a text it orders, of those that the mean vector put first, unless the export says
            otherwise; None where it scores every video.
        search_batch: texts of one search. With the longest list of hits they shall take ten seconds at most.
        texts_in_flight: texts of searches in flight at once. Fewer leave the later steps without work now and then;
            more only wait: three times the load that can be answered takes accepted searches to about twice their p99
            at 80 % of it.
        engine_texts, engine_videos: the most of one call of its engine, which sets memory aside for that call; where
            there is a short list, its videos are the most.
        compared: texts and videos by which a graph is compared with the eager formula.
        calibrated: texts and videos by whose scores a lower precision is judged; None for all there are.
        unit: of the video record's tensors [..., D], those whose vectors must have length one.
        standard: those [1, F, D] whose vectors must have length sqrt(D), as LayerNorm leaves them.
        lanes: of the record tensors [n] whose rows lie side by side in memory, how many do.
    """

    name: str
    pair_floats: Callable[[Sizes], int]
    operations: str
    attends: bool = False
    selects: bool = False
    fixed_length: bool = False
    search: Search = "graph"
    shortlist: int | None = None
    search_batch: int = 32
    texts_in_flight: int = 48
    # 64 texts against 512 videos hold 350 MB at most, in the heaviest formula but a cross-encoder's.
    engine_texts: int = TEXT_BATCH
    engine_videos: int = 512
    compared: tuple[int, int] = (33, 129)
    calibrated: int | None = None
    lanes: Mapping[str, int] = field(default_factory=dict)
    unit: frozenset[str] = frozenset({MEAN_EMBEDDING})
    standard: frozenset[str] = frozenset()


_UNIT = frozenset({VIDEO_EMBEDDING, FRAME_EMBEDDINGS, MEAN_EMBEDDING})

DOT = ScorerCard("dot", lambda _: 2, "2*D", unit=_UNIT)
FRAME_SOFTMAX = ScorerCard("frame_softmax", lambda s: 4 * s.frames, "2*F*D", attends=True, unit=_UNIT)
TOPK_ATTENTION = ScorerCard(
    "topk_attention",
    lambda s: 11 * s.frames,
    "4*F*D + 6*F**2 + 6*F",
    attends=True,
    selects=True,
    search="topk_attention",
    lanes={GRAM_TABLE: LANES},
    standard=frozenset({FRAME_VECTORS}),
)
MULTI_GRAINED = ScorerCard(
    "multi_grained",
    lambda s: 5 * s.frames * s.words,
    "2*(W*F*D + W*D + F*D + D) + 2*(F*W**2 + W*F**2 + 2*W**2 + 2*F**2)",
    fixed_length=True,
    unit=_UNIT,
)
TOKEN_FRAME = ScorerCard("token_frame", lambda s: 7 * s.frames * s.words, "2*W*F*D", fixed_length=True, unit=_UNIT)
# A transformer runs for every pair: milliseconds, and 0.7 MB at the sizes above.
CROSS_ENCODER = ScorerCard(
    "cross_encoder",
    lambda s: 26 * (1 + s.frames) * s.width,
    "24*D**2*(1 + F)*L + 4*(1 + F)**2*D*L + 2*D**2 + 2*D",
    search="shortlist",
    shortlist=100,
    search_batch=4,
    texts_in_flight=8,
    engine_texts=4,
    compared=(5, 41),
    calibrated=24,
)
SCORERS: Mapping[str, ScorerCard] = {
    card.name: card for card in (DOT, FRAME_SOFTMAX, TOPK_ATTENTION, MULTI_GRAINED, TOKEN_FRAME, CROSS_ENCODER)
}


def scorer_of(manifest: Manifest) -> ScorerCard:
    """The card of a bundle's scorer.

    Raises:
        BundleError: a scorer that is not known.
    """
    if manifest.scorer not in SCORERS:
        raise BundleError(
            f"the bundle is scored by {manifest.scorer}, which this framesift does not know; it knows "
            f"{', '.join(sorted(SCORERS))}"
        )
    return SCORERS[manifest.scorer]


def pair_floats(manifest: Manifest) -> int:
    """Floats that the scorer's graph holds for every pair of a text and a video.

    Raises:
        BundleError: a scorer that is not known.
    """
    return scorer_of(manifest).pair_floats(Sizes(manifest.frame_count or 1, _words(manifest), manifest.embed_dim))


def shortlist_size(manifest: Manifest) -> int | None:
    """How many videos a text's short list holds: the manifest's ``shortlist``, the card's where it names none.

    Returns:
        None where the scorer scores every video.

    Raises:
        BundleError: not a number of videos, or a scorer that is not known.
    """
    usual = scorer_of(manifest).shortlist
    if usual is None:
        return None
    size = manifest.options.get("shortlist", usual)
    if type(size) is not int or not 1 <= size <= MAX_SHORTLIST:
        raise BundleError(f"the bundle's shortlist is {str(size)[:40]}, it must be from 1 to {MAX_SHORTLIST} videos")
    return size


def block_rows(records: Mapping[str, npt.NDArray[Any]], queries: int, floats: int, block_bytes: int) -> int:
    """How many videos to score at once so that the temporaries stay near ``block_bytes``, at least 1.

    Args:
        records: the tensors [V, ...] that the scorer reads.
        queries: texts that are scored at once.
        floats: of every pair, see ``pair_floats``.
    """
    record = sum(math.prod(values.shape[1:]) for values in records.values())
    return max(1, block_bytes // (4 * (_COPIES * record + queries * floats)))


def _words(manifest: Manifest) -> int:
    """Word positions of a text record; 1 where it holds nothing a word."""
    texts = {port.name for port in manifest.graphs[TEXT_ENCODER].outputs}
    read = (port for port in manifest.graphs[SCORER].inputs if port.name in texts)
    return max((port.shape[1] for port in read if len(port.shape) > 2), default=1)
