"""The scorers that are served, and what their graphs hold in memory, so that no call takes more than it may.

The constants were measured with ONNX Runtime on the exported formulas at D = 512, F = 12 and W = 32, from the growth of
the process over 1 and 32 texts against 2,000 videos; they are rounded up. Time on two cores, 1 and 32 texts:

===============  ================  ===============  ========
formula          floats a pair     measured         seconds
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
from typing import Any

import numpy.typing as npt

from .errors import BundleError
from .manifest import Manifest
from .ports import SCORER, TEXT_ENCODER

TOPK_ATTENTION = "topk_attention"
CROSS_ENCODER = "cross_encoder"

# What one call of a scorer may hold, in bytes.
BLOCK_BYTES = 128 << 20

_COPIES = 3
# By the sizes F, W and D.
_FLOATS: Mapping[str, Callable[[int, int, int], int]] = {
    "dot": lambda f, w, d: 2,
    "frame_softmax": lambda f, w, d: 4 * f,
    TOPK_ATTENTION: lambda f, w, d: 11 * f,
    "multi_grained": lambda f, w, d: 5 * f * w,
    "token_frame": lambda f, w, d: 7 * f * w,
    CROSS_ENCODER: lambda f, w, d: 26 * (1 + f) * d,
}


def pair_floats(manifest: Manifest) -> int:
    """Floats that the scorer's graph holds for every pair of a text and a video.

    Raises:
        BundleError: a scorer that is not known.
    """
    if manifest.scorer not in _FLOATS:
        raise BundleError(
            f"the bundle is scored by {manifest.scorer}, which this framesift does not know; it knows "
            f"{', '.join(sorted(_FLOATS))}"
        )
    return _FLOATS[manifest.scorer](manifest.frames.count, _words(manifest), manifest.embed_dim)


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
