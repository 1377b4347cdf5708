"""All-in-one (Wang et al., CVPR 2023): one transformer for words and patches, compared by vectors or read together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...kernels.dot.reference import dot
from ...kernels.rolled_encoder.reference import text_tokens
from ..bundle.manifest import FrameProfile
from ..bundle.ports import (
    MEAN_EMBEDDING,
    PLACED_PATCHES,
    PLACED_WORDS,
    TEXT_EMBEDDING,
    VIDEO_EMBEDDING,
    VIEWS_EMBEDDING,
    WORD_MASK,
)
from ..bundle.scorers import DOT, ROLLED_ENCODER
from ..bundle.spec import TensorSpec
from ..encoders.heads import HEAD_WIDTH, usual_heads
from ..encoders.unified import AllInOneSizes
from .all_in_one_base import MEAN, STD, AllInOneBase
from .bert import SMALL_BERT
from .card import Example, Sign, SystemCard
from .contract import pixels
from .options import FRAME_COUNT, HEADS, MAX_TOKENS, Option
from .preprocessing import Preprocessing
from .weights import Weights

Head = Literal["vtc", "irtr", "both"]
# What the weights were trained for, and the tensor that shows it.
TRAINED = {"vtc": "txt_proj.weight", "irtr": "rank_output.weight", "itm": "itm_score.fc.weight"}
# The authors' lower bound of a norm.
SHORTEST = 1e-8


class AllInOneVtc(AllInOneBase):
    """One vector a side, compared by their cosine.

    Args:
        views: how many sets of frames a video is seen by. Its score is the mean of their cosines, which the dot product
            with the mean of their unit vectors is.
    """

    scorer = DOT

    def __init__(self, sizes: AllInOneSizes, *, views: int = 1, **options: Any) -> None:
        super().__init__(sizes, **options)
        self.views = views
        frames, *_ = self.video_inputs
        self.video_inputs = (pixels(views * frames.shape[0], sizes.image_size),)
        name = VIDEO_EMBEDDING if views == 1 else VIEWS_EMBEDDING
        self.text_record = (TensorSpec(TEXT_EMBEDDING, "float32", (sizes.embed_dim,)),)
        self.video_record = (TensorSpec(name, "float32", (sizes.embed_dim,)),)

    def encode_video(self, frames: Tensor) -> tuple[Tensor]:
        """Frames [V, F * views, 3, H, W] to unit vectors [V, E], or with several views to their means.

        Of the equal parts that a view has a frame of, each has ``views`` frames, one behind the other.
        """
        # TensorRT gives bytes no other shape.
        seen = self.normalised(frames).unflatten(1, (-1, self.views)).transpose(1, 2).flatten(0, 1)
        vectors = bounded_unit(self.embed_video(self.place_video(seen)))
        return (vectors.unflatten(0, (-1, self.views)).mean(1),)

    def encode_text(self, token_ids: Tensor) -> tuple[Tensor]:
        """Token ids int64 [Q, W] to unit vectors [Q, E]."""
        return (bounded_unit(self.embed_text(self.place_text(token_ids), token_ids)),)

    def score(self, text: Sequence[Tensor], video: Sequence[Tensor]) -> Tensor:
        """See ``kernels/dot``."""
        return dot(text[0], video[0])


class AllInOneIrtr(AllInOneBase):
    """The transformer reads text and frames of a pair together.

    Args:
        chooses: whether the records also hold the vectors of ``AllInOneVtc``, which choose a short list.
    """

    scorer = ROLLED_ENCODER

    def __init__(self, sizes: AllInOneSizes, *, chooses: bool, **options: Any) -> None:
        super().__init__(sizes, **options)
        width, tokens = sizes.width, sizes.tokens
        self.chooses = chooses
        text = TensorSpec(TEXT_EMBEDDING, "float32", (sizes.embed_dim,), scored=False)
        mean = TensorSpec(MEAN_EMBEDDING, "float32", (sizes.embed_dim,), scored=False)
        self.text_record = (
            TensorSpec(PLACED_WORDS, "float32", (self.max_tokens, width)),
            TensorSpec(WORD_MASK, "float32", (self.max_tokens,)),
            *((text,) if chooses else ()),
        )
        self.video_record = (
            TensorSpec(PLACED_PATCHES, "float32", (self.frames, tokens, width)),
            *((mean,) if chooses else ()),
        )

    def encode_video(self, frames: Tensor) -> tuple[Tensor, ...]:
        """Frames [V, F, 3, H, W] to placed tokens [V, F, 1 + P, D], and unit vectors [V, E] where they choose."""
        placed = self.place_video(frames)
        return placed, *((bounded_unit(self.embed_video(placed)),) if self.chooses else ())

    def encode_text(self, token_ids: Tensor) -> tuple[Tensor, ...]:
        """Token ids int64 [Q, W] to placed tokens [Q, W, D], their mask [Q, W], and unit vectors where they choose."""
        placed = self.place_text(token_ids)
        mask = (token_ids != 0).to(placed.dtype)
        return placed, mask, *((bounded_unit(self.embed_text(placed, token_ids)),) if self.chooses else ())

    def pooled(self, words: Tensor, mask: Tensor, patches: Tensor) -> Tensor:
        """Placed words [N, W, D], their mask [N, W] and placed patches [N, F, 1 + P, D] of pairs to [N, D]."""
        first = text_tokens(self.transformer.blocks, self.transformer.norm, words, mask, patches)
        return torch.tanh(self.pooler["dense"](first))

    def score(self, text: Sequence[Tensor], video: Sequence[Tensor]) -> Tensor:
        """Every pair; see ``kernels/rolled_encoder``."""
        words, mask, patches = text[0], text[1], video[0]
        queries, videos = words.shape[0], patches.shape[0]
        pooled = self.pooled(
            words.unsqueeze(1).expand(-1, videos, -1, -1).flatten(0, 1),
            mask.unsqueeze(1).expand(-1, videos, -1).flatten(0, 1),
            patches.unsqueeze(0).expand(queries, -1, -1, -1, -1).flatten(0, 1),
        )
        scores: Tensor = self.rank(pooled).unflatten(0, (queries, videos))
        return scores

    def rank(self, pooled: Tensor) -> Tensor:
        """Pooled pairs [N, D] to scores [N].

        Weights that were only pretrained have the ranking's first value, the second row of their matching head.
        """
        if "irtr" in self.trained:
            scores: Tensor = self.rank_output(pooled)
        else:
            matching = self.itm_score["fc"]
            assert isinstance(matching, nn.Linear)
            scores = F.linear(pooled, matching.weight[1:], matching.bias[1:])
        return scores.squeeze(1)


def bounded_unit(x: Tensor) -> Tensor:
    """``x`` divided by the length of its last axis or by ``SHORTEST``, whichever is larger."""
    length: Tensor = x.norm(dim=-1, keepdim=True)
    return x / length.clamp(min=SHORTEST)


def build(sizes: AllInOneSizes, options: Mapping[str, Any]) -> AllInOneBase:
    """The module of all options, with random weights."""
    kept = {name: value for name, value in options.items() if name not in ("head", "views")}
    head, trained, views = options["head"], options["trained"], options.get("views", 1)
    if head not in _possible(trained):
        raise ValueError(f"head is {head!r}, these weights allow {' or '.join(_possible(trained))}")
    if head == "vtc":
        return AllInOneVtc(sizes, views=views, **kept)
    if views != 1:
        raise ValueError(f"views is {views}, and head {head} reads one: pass head=vtc, whose vectors are averaged")
    return AllInOneIrtr(sizes, chooses=head == "both", **kept)


def infer(weights: Weights) -> AllInOneSizes:
    """What the weights show: all sizes but the width of an attention head, and what they were trained for."""
    state = weights.state
    vocab_size, width = weights.shape("text_embeddings.word_embeddings.weight", 2)
    positions = weights.shape("text_embeddings.position_embeddings.weight", 2)[0]
    patch = weights.shape("transformer.patch_embed.proj.weight", 4)[-1]
    places = weights.shape("transformer.pos_embed", 3)[1]
    side = round((places - 1) ** 0.5)
    if side < 1 or side**2 + 1 != places:
        raise weights.unfit(f"transformer.pos_embed has {places} rows, which is no square and one")
    layers = weights.count("transformer.blocks.")
    if not layers:
        raise weights.unfit("its transformer has no blocks")
    trained = tuple(name for name, key in TRAINED.items() if key in state)
    if not trained:
        raise weights.error(
            "it has none of the heads that score a pair (txt_proj and vid_proj, rank_output, itm_score): "
            "bring a checkpoint that was trained for retrieval"
        )
    weights.read("trained", trained, f"there is {', '.join(TRAINED[name] for name in trained)}")
    moments = weights.shape("transformer.temporal_embed", 3)[1]
    weights.towers = (
        f"one transformer {width} wide with {layers} blocks, patch {patch}, {side * patch} px, {moments} frames, "
        f"{positions} token positions, {vocab_size} tokens"
    )
    weights.most["max_tokens"] = positions, f"its text embeddings have {positions} positions"
    embed_dim = weights.shape("txt_proj.weight", 2)[0] if "vtc" in trained else AllInOneSizes.embed_dim
    inside = weights.shape("transformer.blocks.0.mlp.fc1.weight", 2)[0]
    return AllInOneSizes(width, layers, inside, vocab_size, positions, patch, side * patch, moments, embed_dim)


def _possible(trained: Sequence[str]) -> list[Head]:
    """The heads that weights allow, the one that is assumed first."""
    vectors, pairs = "vtc" in trained, bool({"irtr", "itm"} & set(trained))
    if vectors and "irtr" in trained:
        return ["both", "vtc", "irtr"]
    if vectors:
        return ["vtc", "irtr", "both"] if pairs else ["vtc"]
    return ["irtr"]


_SMALL = AllInOneSizes(64, 2, 128, SMALL_BERT.vocab_size, 24, 8, 32, 5, 32)
ALL_IN_ONE = SystemCard(
    name="all_in_one",
    title="All-in-one",
    signs=(Sign("transformer.temporal_embed", "it has All-in-one's transformer.temporal_embed"),),
    infer=infer,
    options=(
        Option(
            "head",
            lambda sizes, found: _possible(found["trained"])[0],
            lambda sizes, found: f"the weights were trained for {', '.join(found['trained'])}",
            "`vtc` compares vectors, `irtr` reads pairs, `both` chooses by the first and ranks by the second",
        ),
        replace(
            FRAME_COUNT,
            default=lambda sizes, found: sizes.moments,
            why=lambda sizes, found: f"transformer.temporal_embed has {sizes.moments} rows",
        ),
        Option(
            "views",
            1,
            "how often a video is seen is not in the weights; the authors average 3 where they evaluate",
            "with head=vtc: so many frames of each part of a video, one for each view; scores are averaged",
            most=16,
            applies=lambda sizes, found: "vtc" in found["trained"],
        ),
        replace(
            MAX_TOKENS,
            default=lambda sizes, found: sizes.positions,
            why=lambda sizes, found: f"the text embeddings have {sizes.positions} positions",
        ),
        replace(
            HEADS,
            default=lambda sizes, found: usual_heads(sizes.width),
            why=lambda sizes, found: f"heads are not in the weights: {sizes.width} / {HEAD_WIDTH}",
            what="of the transformer",
        ),
    ),
    shown={"trained": ("vtc", "irtr")},
    build=build,
    preprocessing=Preprocessing(
        FrameProfile(sampler="uniform_middle", resize="pil_bilinear_square", missing="repeat", mean=MEAN, std=STD),
        tokenizer="wordpiece",
    ),
    unused=lambda found: ("mlm_score.", *(("itm_score.",) if "irtr" in found["trained"] else ())),
    sizes=AllInOneSizes(),
    lengths=((3, 40),),
    code="showlab/all-in-one",
    checkpoints="five pretrained, linked in the repository; none for retrieval",
    examples=(
        Example("vtc", _SMALL, {"trained": ("vtc",)}),
        Example("irtr", _SMALL, {"trained": ("irtr",)}),
        Example("both", _SMALL),
    ),
)
