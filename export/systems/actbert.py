"""ActBERT (Zhu and Yang, CVPR 2020), as Baidu's PaddleVideo has it: text beside regions and actions of a video."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ...kernels.tangled_encoder.reference import matching
from ..bundle.features.profile import FeatureArray, FeatureProfile
from ..bundle.ports import (
    ACTION_EMBEDDINGS,
    ACTIONS,
    LOCATIONS,
    REGION_EMBEDDINGS,
    REGION_MASK,
    REGIONS,
    REGIONS_MASK,
    WORD_EMBEDDINGS,
    WORD_MASK,
)
from ..bundle.scorers import TANGLED_ENCODER
from ..bundle.spec import TensorSpec
from ..encoders.bert import BertConfig, Embeddings
from ..encoders.heads import HEAD_WIDTH
from ..encoders.post_ln import key_bias
from ..encoders.tangled import FeatureEmbeddings, TangledEncoder, in_paddles_layout
from .bert import SMALL_BERT, bert_sizes
from .card import Example, Sign, SystemCard
from .options import HEADS, MAX_TOKENS, Option
from .preprocessing import Preprocessing
from .weights import Weights
from .word_pieces import WordPieceSystem

# Numbers that place a region: its corners and its area, as shares of the picture.
PLACE = 5
WIDE_HEAD = 128


@dataclass(frozen=True)
class ActBertSizes:
    """Sizes of the three streams. Text and actions have BERT's heads, regions and connections wider ones."""

    bert: BertConfig = field(default_factory=BertConfig)
    region_features: int = 2048
    region_width: int = 1024
    region_inside: int = 1024
    region_layers: int = 2
    action_features: int = 2048
    action_width: int = 768
    action_inside: int = 3072
    action_layers: int = 3
    connections: int = 2
    connection_width: int = 1024


class TangledBert(nn.Module):
    """Everything under the authors' name ``bert``."""

    def __init__(self, sizes: ActBertSizes, heads: tuple[int, int, int], connection_heads: int) -> None:
        super().__init__()
        bert, width = sizes.bert, sizes.connection_width
        widths = (sizes.region_width, bert.width, sizes.action_width)
        self.embeddings = Embeddings(bert.width, bert.vocab_size, bert.positions, bert.types)
        parts = {"image_embeddings": sizes.region_features, "image_location_embeddings": PLACE}
        self.v_embeddings = FeatureEmbeddings(sizes.region_width, parts)
        self.a_embeddings = FeatureEmbeddings(sizes.action_width, {"action_embeddings": sizes.action_features})
        self.encoder = TangledEncoder(
            widths,
            (sizes.region_inside, bert.inside, sizes.action_inside),
            (sizes.region_layers, bert.layers, sizes.action_layers),
            heads,
            (width, connection_heads, sizes.connections),
        )
        for letter, inside in zip("vta", widths, strict=True):
            self.add_module(f"{letter}_pooler", nn.ModuleDict({"dense": nn.Linear(inside, width)}))

    def pool(self, letter: str, hidden: Tensor) -> Tensor:
        """A stream's last output [N, M, width] to relu(dense) of its first row [N, E]."""
        pooled: Tensor = self.get_submodule(f"{letter}_pooler.dense")(hidden[:, 0])
        return pooled.relu()


class ActBert(WordPieceSystem):
    """A pair's score is the probability that they match. Text length and number of regions take part in it.

    Raises:
        ValueError: widths that the heads don't divide.
    """

    name = "actbert"
    scorer = TANGLED_ENCODER

    def __init__(
        self,
        sizes: ActBertSizes,
        *,
        max_tokens: int,
        regions: int,
        actions: int,
        region_heads: int,
        heads: int,
        action_heads: int,
        connection_heads: int,
    ) -> None:
        super().__init__()
        if sizes.connection_width % connection_heads:
            raise ValueError(f"{connection_heads} heads don't divide the width {sizes.connection_width}")
        self.sizes, self.text_sizes, self.max_tokens = sizes, sizes.bert, max_tokens
        self.bert = TangledBert(sizes, (region_heads, heads, action_heads), connection_heads)
        self.cls = nn.ModuleDict({"seq_relationship": nn.Linear(sizes.connection_width, 2)})
        in_paddles_layout(self)
        self.video_inputs = (
            TensorSpec(REGIONS, "float32", (regions, sizes.region_features)),
            TensorSpec(LOCATIONS, "float32", (regions, PLACE)),
            TensorSpec(REGIONS_MASK, "float32", (regions,)),
            TensorSpec(ACTIONS, "float32", (actions, sizes.action_features)),
        )
        arrays = (
            FeatureArray("regions", ("regions", sizes.region_features)),
            FeatureArray("boxes", ("regions", 4), zeros=True),
            FeatureArray("actions", ("actions", sizes.action_features)),
            FeatureArray("width_height", (2,)),
        )
        self.features = FeatureProfile("regions", arrays)
        self.text_record = (
            TensorSpec(WORD_EMBEDDINGS, "float32", (max_tokens, sizes.bert.width)),
            TensorSpec(WORD_MASK, "float32", (max_tokens,)),
        )
        self.video_record = (
            TensorSpec(REGION_EMBEDDINGS, "float32", (regions, sizes.region_width)),
            TensorSpec(ACTION_EMBEDDINGS, "float32", (actions, sizes.action_width)),
            TensorSpec(REGION_MASK, "float32", (regions,)),
        )

    def random_arrays(self, generator: torch.Generator) -> Mapping[str, NDArray[Any]]:
        """As ``System.random_arrays``: some regions may be more than are read."""
        (room, wide), _, _, (most, deep) = (spec.shape for spec in self.video_inputs)
        regions, actions = (int(torch.randint(1, n + 1, (), generator=generator)) for n in (room + 2, most))
        size = torch.tensor([320.0, 240.0])
        corners = torch.rand(regions, 2, 2, generator=generator).sort(1).values * size
        found = {
            "regions": torch.randn(regions, wide, generator=generator),
            "boxes": corners.flatten(1),
            "actions": torch.randn(actions, deep, generator=generator),
            "width_height": size,
        }
        return {name: values.numpy() for name, values in found.items()}

    def encode_video(
        self, regions: Tensor, locations: Tensor, mask: Tensor, actions: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Regions [V, R, .], their places [V, R, 5] and mask [V, R], and actions [V, A, .] to the record.

        Padding is zeros. A padded action takes part, as in the authors' code; a padded region doesn't.
        """
        embedded = self.bert.v_embeddings(regions, locations), self.bert.a_embeddings(actions)
        return *embedded, mask.to(embedded[0].dtype)

    def encode_text(self, token_ids: Tensor) -> tuple[Tensor, Tensor]:
        """Token ids int64 [Q, W] to the last output of the layers for text alone [Q, W, D], and the mask [Q, W]."""
        words = self.bert.embeddings(token_ids)
        mask = (token_ids != 0).to(words.dtype)
        return self.bert.encoder.text(words, key_bias(mask, words.dtype)), mask

    def pooled(self, text: Sequence[Tensor], video: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Records of N pairs to their pooled regions, text and actions, [N, E] each."""
        (words, words_mask), (regions, actions, regions_mask) = text, video
        dtype = words.dtype
        biases = (
            key_bias(regions_mask, dtype),
            key_bias(words_mask, dtype),
            key_bias(torch.ones_like(actions[..., 0]), dtype),
        )
        streams = self.bert.encoder((regions, words, actions), biases)
        first, second, third = (self.bert.pool(letter, x) for letter, x in zip("vta", streams, strict=True))
        return first, second, third

    def logits(self, regions: Tensor, text: Tensor, actions: Tensor) -> Tensor:
        """Pooled streams [N, E] to logits [N, 2], of which the first is the match."""
        logits: Tensor = self.cls["seq_relationship"](matching(text, regions, actions))
        return logits

    def score(self, text: Sequence[Tensor], video: Sequence[Tensor]) -> Tensor:
        """The probability of every pair; see ``kernels/tangled_encoder``."""
        queries, videos = text[0].shape[0], video[0].shape[0]
        texts = [x.unsqueeze(1).expand(-1, videos, *x.shape[1:]).flatten(0, 1) for x in text]
        films = [x.unsqueeze(0).expand(queries, *x.shape).flatten(0, 1) for x in video]
        scores: Tensor = self.logits(*self.pooled(texts, films)).softmax(-1)[:, 0].unflatten(0, (queries, videos))
        return scores

    @property
    def embed_dim(self) -> int:
        """As ``System.embed_dim``."""
        return self.sizes.connection_width


def infer(weights: Weights) -> ActBertSizes:
    """What the weights show: all sizes but those of an attention head, and how long texts and lists of regions are."""
    bert = bert_sizes(weights, "bert.", paddles=True)
    region_features, region_width = weights.shape("bert.v_embeddings.image_embeddings.weight", 2)
    action_features, action_width = weights.shape("bert.a_embeddings.action_embeddings.weight", 2)
    sizes = ActBertSizes(
        bert,
        region_features,
        region_width,
        weights.shape("bert.encoder.v_layer.0.intermediate.dense.weight", 2)[1],
        weights.count("bert.encoder.v_layer."),
        action_features,
        action_width,
        weights.shape("bert.encoder.a_layer.0.intermediate.dense.weight", 2)[1],
        weights.count("bert.encoder.a_layer."),
        weights.count("bert.encoder.c_layer."),
        weights.shape("bert.encoder.c_layer.0.ent_attention.query1.weight", 2)[1],
    )
    if bert.layers < sizes.connections or min(sizes.region_layers, sizes.action_layers) < sizes.connections:
        raise weights.unfit(
            f"its {sizes.connections} connections need a layer of text, regions and actions each, it has "
            f"{bert.layers}, {sizes.region_layers} and {sizes.action_layers}"
        )
    weights.towers = (
        f"text {bert.width} wide with {bert.layers} layers, {bert.positions} positions, {bert.vocab_size} tokens; "
        f"regions {region_width} wide with {sizes.region_layers}; actions {action_width} wide with "
        f"{sizes.action_layers}; {sizes.connections} connections {sizes.connection_width} wide"
    )
    return sizes


def _heads(name: str, width: str, each: int, what: str) -> Option:
    def of(sizes: ActBertSizes) -> int:
        return sizes.bert.width if width == "bert" else int(getattr(sizes, width))

    return Option(
        name,
        lambda sizes, found: max(1, of(sizes) // each),
        lambda sizes, found: f"heads are not in the weights: {of(sizes)} / {each}",
        what,
    )


_SMALL = ActBertSizes(replace(SMALL_BERT, layers=3), 24, 64, 64, 2, 16, 32, 96, 3, 2, 64)
ACTBERT = SystemCard(
    name="actbert",
    title="ActBERT",
    signs=(Sign("bert.encoder.c_layer.", "it has ActBERT's bert.encoder.c_layer"),),
    infer=infer,
    options=(
        replace(MAX_TOKENS, default=36, why="token positions are not in the weights, and padding takes part"),
        Option("regions", 36, "regions are not in the weights, and padding takes part", "with their mean", 2, 1024),
        Option("actions", 5, "actions are not in the weights, and padding takes part", most=1024),
        _heads("region_heads", "region_width", WIDE_HEAD, "of regions"),
        replace(HEADS, **{key: getattr(_heads("heads", "bert", HEAD_WIDTH, ""), key) for key in ("default", "why")}),
        _heads("action_heads", "action_width", HEAD_WIDTH, "of actions"),
        _heads("connection_heads", "connection_width", WIDE_HEAD, "of connections"),
    ),
    build=lambda sizes, options: ActBert(sizes, **options),
    preprocessing=Preprocessing(None, tokenizer="wordpiece"),
    unused=lambda found: ("cls.predictions.", "cls.imagePredictions.", "cls.actionPredictions."),
    sizes=ActBertSizes(),
    lengths=((36, 36),),
    code="PaddlePaddle/PaddleVideo",
    paddles=True,
    checkpoints="one, linked in the repository",
    examples=(Example("", _SMALL),),
)
