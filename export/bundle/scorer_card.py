"""What a scorer's card says, and the sizes that its memory depends on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from .models import TEXT_BATCH
from .ports import MEAN_EMBEDDING

# Every video by the exported graph, or by the compiled scan with its scores; a short list by the graph; every video by
# a scan of records made for it.
Search = Literal["graph", "shortlist", "topk_attention"]
# By a video and, with one vector a side, by a mean of a text and a video; or by a video alone.
Like = Literal["beside", "alone"]


@dataclass(frozen=True)
class Sizes:
    """What a scorer's memory depends on.

    Attributes:
        frames: F, of a video; 1 where it brings none.
        words: W, word positions of a text; 1 where its record holds nothing a word.
        width: D, numbers of a vector.
        groups: parts of a video, frames or clips, each of which is read with the text by itself.
        tokens: T, vectors of a part.
    """

    frames: int
    words: int
    width: int
    groups: int = 1
    tokens: int = 1

    @property
    def joint(self) -> int:
        """Numbers that the parts of a pair are, each with its text beside it."""
        return self.groups * (self.words + self.tokens) * self.width


@dataclass(frozen=True)
class ScorerCard:
    """What sets a scorer apart from the others. ``name`` is its folder in ``kernels/``, and what manifests call it.

    Attributes:
        pair_floats: that its graph holds for every pair.
        operations: of the matrix products that score one pair, as a formula of F, W, D, L layers and what stands
            beside the card.
        attends: whether it weighs the frames and returns the weights.
        selects: whether it keeps some frames and drops the others; where two are nearly equal, rounding may turn which.
        fixed_length: whether every token position takes part, so that a text must have exactly as many as the model.
        search: which ranker finds with it, see ``serving/search/rankers.py``.
        coarse: whether averages of a video's frames are a record that its scan reads, for a stage before the exact one.
        shortlist: how many videos of a text it orders, of those that the mean vector put first, unless the export says
            otherwise; None where it scores every video.
        scan_limit: the most videos that it scores for one text, unless the export says otherwise; None for any number.
            Two cores take some ten seconds for so many, with the authors' sizes.
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
        like: how a video can be searched with, in the place of a text; None where it can't.
        gpu: whether a Triton kernel scans its records on a GPU, in the place of the compiled scan.
        lanes: of the record tensors [n] whose rows lie side by side in memory, how many do.
    """

    name: str
    pair_floats: Callable[[Sizes], int]
    operations: str
    attends: bool = False
    selects: bool = False
    fixed_length: bool = False
    search: Search = "graph"
    coarse: bool = False
    shortlist: int | None = None
    scan_limit: int | None = None
    search_batch: int = 32
    texts_in_flight: int = 48
    # 64 texts against 512 videos hold 350 MB at most, in the heaviest formula but a cross-encoder's.
    engine_texts: int = TEXT_BATCH
    engine_videos: int = 512
    compared: tuple[int, int] = (33, 129)
    calibrated: int | None = None
    like: Like | None = None
    gpu: bool = False
    lanes: Mapping[str, int] = field(default_factory=dict)
    unit: frozenset[str] = frozenset({MEAN_EMBEDDING})
    standard: frozenset[str] = frozenset()
