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

``weighed_experts`` has 4 by its formula, and 5 on its card; it was not measured.

Of those that read every pair, by 1 and 9 videos at the authors' sizes with two layers: layers share their memory.
A pair is J = G (W + T) D numbers: G frames or clips of T tokens, each beside the text.

===============  ================  ===============
scorer           floats a pair     measured
===============  ================  ===============
rolled_encoder   36 J              32
clip_pooling     26 J              23
tangled_encoder  20 J              9
===============  ================  ===============

Beside the pairs, a graph holds about two copies of its block of video records, and one more is widened to float32.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy.typing as npt

from ...kernels.topk_attention.layout import LANES
from .errors import BundleError
from .limits import MAX_PAIRS, MAX_SHORTLIST
from .manifest import Manifest
from .ports import (
    FRAME_EMBEDDINGS,
    FRAME_VECTORS,
    GRAM_TABLE,
    MEAN_EMBEDDING,
    SCORER,
    TEXT_ENCODER,
    VIDEO_EMBEDDING,
    VIDEO_ENCODER,
)
from .scorer_card import ScorerCard, Sizes

# What one call of a scorer may hold, in bytes.
BLOCK_BYTES = 128 << 20
# What the temporaries of one scoring request may fill, where that is less than ``MAX_PAIRS``.
_SCORER_BYTES = 512 << 20

_COPIES = 3
# What a card's ``scan_limit`` takes about, and how many times that a search may take on a busy machine.
_SCAN_S, _PATIENT = 10.0, 12
# A second of a film that is read whole takes networks of the authors' sizes one on two cores; on a busy machine more.
_FILM_S = 4.0

_UNIT = frozenset({VIDEO_EMBEDDING, FRAME_EMBEDDINGS, MEAN_EMBEDDING})

DOT = ScorerCard("dot", lambda _: 2, "2*D", like="beside", gpu=True, unit=_UNIT)
# M experts, of which a video may lack some.
WEIGHED_EXPERTS = ScorerCard("weighed_experts", lambda _: 5, "2*D + 2*M", like="alone")
FRAME_SOFTMAX = ScorerCard(
    "frame_softmax", lambda s: 4 * s.frames, "2*F*D", attends=True, coarse=True, like="beside", gpu=True, unit=_UNIT
)
TOPK_ATTENTION = ScorerCard(
    "topk_attention",
    lambda s: 11 * s.frames,
    "4*F*D + 6*F**2 + 6*F",
    attends=True,
    selects=True,
    search="topk_attention",
    coarse=True,
    like="beside",
    lanes={GRAM_TABLE: LANES},
    standard=frozenset({FRAME_VECTORS}),
)
MULTI_GRAINED = ScorerCard(
    "multi_grained",
    lambda s: 5 * s.frames * s.words,
    "2*(W*F*D + W*D + F*D + D) + 2*(F*W**2 + W*F**2 + 2*W**2 + 2*F**2)",
    fixed_length=True,
    like="alone",
    gpu=True,
    unit=_UNIT,
)
TOKEN_FRAME = ScorerCard(
    "token_frame",
    lambda s: 7 * s.frames * s.words,
    "2*W*F*D",
    fixed_length=True,
    coarse=True,
    like="alone",
    gpu=True,
    unit=_UNIT,
)
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
_WHOLE_TRANSFORMER: Mapping[str, Any] = {
    "fixed_length": True,
    "search": "shortlist",
    "search_batch": 1,
    "texts_in_flight": 4,
    "engine_texts": 1,
    "engine_videos": 8,
    "compared": (2, 6),
    "calibrated": 6,
}
# T tokens of each of F frames, beside W of the text.
ROLLED_ENCODER = ScorerCard(
    "rolled_encoder",
    lambda s: 36 * s.joint,
    "L*F*(24*D**2*(W + T) + 4*D*(W + T)**2) + 2*D**2 + 2*D",
    shortlist=10,
    scan_limit=10,
    **_WHOLE_TRANSFORMER,
)
# T tokens of each of C clips.
CLIP_POOLING = ScorerCard(
    "clip_pooling",
    lambda s: 26 * s.joint,
    "C*(L*(24*D**2*(W + T) + 4*D*(W + T)**2) + 6*D**2 + 8*D)",
    shortlist=100,
    scan_limit=100,
    **_WHOLE_TRANSFORMER,
)
# R regions and A actions; D is the width of regions and connections, E that of text and actions.
TANGLED_ENCODER = ScorerCard(
    "tangled_encoder",
    lambda s: 20 * s.joint,
    "48*R*D**2 + 16*A*D**2 + 16*(W + A)*D*E + (80*W + 104*A)*E**2 + 8*D*(A*R + A*W + 2*R**2 + W**2 + A**2)"
    " + 8*W**2*E + 12*A**2*E + 2*D**2 + 4*D*E + 4*D",
    shortlist=250,
    scan_limit=250,
    **_WHOLE_TRANSFORMER,
)
SCORERS: Mapping[str, ScorerCard] = {
    card.name: card
    for card in (
        DOT,
        WEIGHED_EXPERTS,
        FRAME_SOFTMAX,
        TOPK_ATTENTION,
        MULTI_GRAINED,
        TOKEN_FRAME,
        CROSS_ENCODER,
        ROLLED_ENCODER,
        CLIP_POOLING,
        TANGLED_ENCODER,
    )
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
    groups, tokens = _parts(manifest)
    sizes = Sizes(manifest.frame_count or 1, _words(manifest), manifest.embed_dim, groups, tokens)
    return scorer_of(manifest).pair_floats(sizes)


def max_pairs(manifest: Manifest) -> int:
    """The most pairs of one scoring request.

    Raises:
        BundleError: a scorer that is not known.
    """
    return max(1, min(MAX_PAIRS, _SCORER_BYTES // (4 * pair_floats(manifest))))


def shortlist_size(manifest: Manifest) -> int | None:
    """How many videos a text's short list holds: the manifest's ``shortlist``, the card's where it names none.

    Returns:
        None where the scorer scores every video, and where records hold nothing to choose by.

    Raises:
        BundleError: not a number of videos, or a scorer that is not known.
    """
    usual = scorer_of(manifest).shortlist
    chooses = any(port.name == MEAN_EMBEDDING for port in manifest.graphs[VIDEO_ENCODER].outputs)
    return None if usual is None or not chooses else _videos(manifest, "shortlist", usual)


def scan_limit(manifest: Manifest) -> int | None:
    """The most videos that are scored for one text: the manifest's ``scan_limit``, the card's where it names none.

    Returns:
        None for any number.

    Raises:
        BundleError: not a number of videos, or a scorer that is not known.
    """
    usual = scorer_of(manifest).scan_limit
    return None if usual is None else _videos(manifest, "scan_limit", usual)


def film_patience_s(manifest: Manifest) -> float:
    """How long one video may take its encoder before something is wrong, in seconds; 0 where it is soon done."""
    return 0.0 if manifest.film is None else _FILM_S * manifest.film.seconds.count


def patience_s(manifest: Manifest) -> float:
    """How long a search of as many videos as are scored at most may take before something is wrong, in seconds.

    Returns:
        0 where any number is scored, in far less time than anybody waits.

    Raises:
        BundleError: not a number of videos, or a scorer that is not known.
    """
    limit, usual = scan_limit(manifest), scorer_of(manifest).scan_limit
    return 0.0 if limit is None or usual is None else _PATIENT * _SCAN_S * max(1.0, limit / usual)


def block_rows(records: Mapping[str, npt.NDArray[Any]], queries: int, floats: int, block_bytes: int) -> int:
    """How many videos to score at once so that the temporaries stay near ``block_bytes``, at least 1.

    Args:
        records: the tensors [V, ...] that the scorer reads.
        queries: texts that are scored at once.
        floats: of every pair, see ``pair_floats``.
    """
    record = sum(math.prod(values.shape[1:]) for values in records.values())
    return max(1, block_bytes // (4 * (_COPIES * record + queries * floats)))


def _videos(manifest: Manifest, option: str, usual: int) -> int:
    size = manifest.options.get(option, usual)
    if type(size) is not int or not 1 <= size <= MAX_SHORTLIST:
        raise BundleError(f"the bundle's {option} is {str(size)[:40]}, it must be from 1 to {MAX_SHORTLIST} videos")
    return size


def _words(manifest: Manifest) -> int:
    """Word positions of a text record; 1 where it holds nothing a word."""
    texts = {port.name for port in manifest.graphs[TEXT_ENCODER].outputs}
    read = (port for port in manifest.graphs[SCORER].inputs if port.name in texts)
    return max((port.shape[1] for port in read if len(port.shape) > 2), default=1)


def _parts(manifest: Manifest) -> tuple[int, int]:
    """Parts of a video record, frames or clips, and vectors of a part; without parts all vectors of its tensors."""
    kept = {port.name for port in manifest.graphs[VIDEO_ENCODER].outputs}
    shapes = [port.shape[1:-1] for port in manifest.graphs[SCORER].inputs if port.name in kept and len(port.shape) > 2]
    parts = [shape for shape in shapes if len(shape) > 1]
    return (parts[0][0], parts[0][1]) if parts else (1, max(1, sum(shape[0] for shape in shapes)))
