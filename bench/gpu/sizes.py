"""How much of everything a whole run measures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ...export.bundle.ports import VIDEO_ENCODER

if TYPE_CHECKING:
    from ...kernels.device.tile import Regime
    from ...kernels.topk_attention.configs import Storage


@dataclass(frozen=True)
class Sizes:
    """A run's sizes.

    Attributes:
        queries, videos: of the figures that matter most.
        fewer, tiles, pairs, pairs_compiled, served, certified: videos of other galleries.
        texts: of the scorers of plain vectors.
        together: queries that a server searches with at once.
        checked, pairs_checked: videos of a comparison with float64, which fill no tile and no group.
        counts: numbers of queries of one, by regime, at and beside the edges of tiles.
        seeds: how often.
        pair_counts: as ``counts``, of scorers of plain vectors.
        raw: embeddings that are kept for the published formula.
        others: storages that are compared with float64, and not timed.
        model, precision, batches: of the encoders.
        patience: how many times as long as on a GPU anything may take.
    """

    queries: tuple[int, ...] = (1, 16, 256)
    videos: int = 1_000_000
    fewer: tuple[int, ...] = (100_000, 10_000)
    tiles: int = 200_000
    pairs: int = 200_000
    pairs_compiled: int = 50_000
    texts: tuple[int, ...] = (1, 16, 64)
    served: int = 1_000_000
    certified: int = 100_000
    together: tuple[int, ...] = (1, 32)
    checked: int = 20_011
    counts: Mapping[Regime, tuple[int, ...]] = field(
        default_factory=lambda: {"few": (1, 3, 8), "some": (9, 16), "many": (17, 64, 255, 256)}
    )
    seeds: int = 2
    pairs_checked: int = 2_011
    pair_counts: tuple[int, ...] = (1, 2, 3, 9, 17, 65)
    raw: int = 16_384
    others: tuple[Storage, ...] = ("bfloat16", "float8_e4m3fn")
    model: str = "vit-b32"
    precision: str = "fp16"
    batches: Mapping[str, tuple[int, ...]] = field(default_factory=lambda: {VIDEO_ENCODER: (1, 8)})
    patience: float = 1.0


FULL = Sizes()
# What the interpreter takes a few minutes for: two tiles of a kernel, and one number of queries.
DRY = Sizes(
    queries=(1,),
    videos=20,
    fewer=(17,),
    tiles=17,
    pairs=17,
    pairs_compiled=17,
    texts=(1,),
    served=20,
    certified=20,
    together=(1,),
    checked=17,
    counts={"few": (1,), "some": (9,), "many": (17,)},
    seeds=1,
    pairs_checked=17,
    pair_counts=(1,),
    raw=17,
    # The interpreter multiplies the bits of bfloat16.
    others=("float8_e4m3fn",),
    model="demo",
    precision="fp32",
    batches={VIDEO_ENCODER: (1,)},
    patience=40.0,
)
