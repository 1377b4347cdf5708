"""ClipBERT (Lei et al., CVPR 2021): BERT reads the words beside the grid features of each of a video's clips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

from torch import Tensor, nn
from torch.nn import functional as F

from ...kernels.clip_pooling.reference import POOLINGS, clip_logits, match
from ..bundle.manifest import FrameProfile
from ..bundle.ports import PLACED_WORDS, VISUAL_TOKENS, WORD_MASK
from ..bundle.scorers import CLIP_POOLING
from ..bundle.spec import TensorSpec
from ..encoders.bert import Bert, BertConfig
from ..encoders.heads import HEAD_WIDTH, usual_heads
from ..encoders.post_ln import EPS
from ..encoders.resnet import RESNET_50, STEM, NormedConv, ResNet, Stage
from .bert import SMALL_BERT, bert_sizes
from .card import Example, Sign, SystemCard
from .contract import pixels
from .options import HEADS, MAX_TOKENS, Option
from .preprocessing import Preprocessing
from .weights import Weights
from .word_pieces import WordPieceSystem

MEAN, STD = (123.675, 116.28, 103.53), (1.0, 1.0, 1.0)
# Pixels of a side that become one of the grid.
CELL = 64
_BACKBONE = "cnn.feature.backbone."


@dataclass(frozen=True)
class ClipBertSizes:
    """Sizes of the convolutions, of BERT, and of what follows it; ``grid`` is the largest side of a grid of tokens."""

    stem: int = STEM
    stages: tuple[Stage, ...] = RESNET_50
    bert: BertConfig = field(default_factory=BertConfig)
    grid: int = 100
    inner: int = 1536
    labels: int = 2


class GridEncoder(nn.Module):
    """Pictures to grids of features, under the authors' names ``cnn.feature.backbone`` and ``cnn.grid_encoder``."""

    def __init__(self, sizes: ClipBertSizes) -> None:
        super().__init__()
        resnet, outside = ResNet(sizes.stem, sizes.stages), sizes.stages[-1].outer
        self.feature = nn.ModuleDict({"backbone": resnet})
        self.grid_encoder = nn.Sequential(nn.Conv2d(outside, sizes.bert.width, 3, padding=1, bias=False))

    def forward(self, frames: Tensor) -> Tensor:
        """RGB less the mean [N, 3, S, S] to [N, S / 64, S / 64, D]. The convolutions read blue first."""
        features = self.grid_encoder(self.feature["backbone"](frames.flip(1)))
        grid: Tensor = F.max_pool2d(features, 2).relu().permute(0, 2, 3, 1)
        return grid


class VisualEmbeddings(nn.Module):
    """A clip's grid to tokens with their row and column."""

    def __init__(self, width: int, grid: int) -> None:
        super().__init__()
        self.row_position_embeddings = nn.Embedding(grid, width)
        self.col_position_embeddings = nn.Embedding(grid, width)
        self.token_type_embeddings = nn.Embedding(1, width)
        self.LayerNorm = nn.LayerNorm(width, eps=EPS)

    def forward(self, grids: Tensor) -> Tensor:
        """The frames' grids [..., J, H, W, D] of clips to their mean as tokens [..., H W, D], row by row."""
        mean = grids.mean(-4)
        rows = self.row_position_embeddings.weight[: mean.shape[-3]].unsqueeze(1)
        columns = self.col_position_embeddings.weight[: mean.shape[-2]]
        placed = mean + rows + columns + self.token_type_embeddings.weight[0]
        tokens: Tensor = self.LayerNorm(placed.flatten(-3, -2))
        return tokens


class PairBert(Bert):
    """BERT, whose encoder reads words and visual tokens."""

    def __init__(self, sizes: ClipBertSizes) -> None:
        super().__init__(sizes.bert, pooler=True)
        self.visual_embeddings = VisualEmbeddings(sizes.bert.width, sizes.grid)


class PairClassifier(nn.Module):
    """BERT and two linear maps, under ``transformer``."""

    def __init__(self, sizes: ClipBertSizes) -> None:
        super().__init__()
        self.bert = PairBert(sizes)
        self.classifier = nn.Sequential(
            nn.Linear(sizes.bert.width, sizes.inner), nn.ReLU(), nn.Linear(sizes.inner, sizes.labels)
        )

    def forward(self, tokens: Tensor, bias: Tensor) -> Tensor:
        """Embedded words and visual tokens [N, M, D] and the bias [N, 1, 1, M] of their logits to logits [N, L]."""
        logits: Tensor = self.classifier(self.bert.pool(self.bert.encoder(tokens, bias)))
        return logits


class ClipBert(WordPieceSystem):
    """C clips of J frames each. A pair's score is the probability that they match, of all clips together."""

    name = "clipbert"
    scorer = CLIP_POOLING

    def __init__(
        self,
        sizes: ClipBertSizes,
        *,
        clips: int,
        clip_frames: int,
        image_size: int,
        max_tokens: int,
        pooling: str,
    ) -> None:
        super().__init__()
        width, side = sizes.bert.width, _grid_side(image_size)
        if not 1 <= side <= sizes.grid:
            raise ValueError(f"image_size is {image_size}, it must be from {CELL} to {CELL * sizes.grid}")
        if pooling not in POOLINGS:
            raise ValueError(f"pooling is {pooling!r}, it must be one of {', '.join(POOLINGS)}")
        self.sizes, self.text_sizes, self.max_tokens = sizes, sizes.bert, max_tokens
        self.clips, self.clip_frames, self.pooling = clips, clip_frames, pooling
        self.cnn = GridEncoder(sizes)
        self.transformer = PairClassifier(sizes)
        self.video_inputs = (pixels(clips * clip_frames, image_size),)
        self.text_record = (
            TensorSpec(PLACED_WORDS, "float32", (max_tokens, width)),
            TensorSpec(WORD_MASK, "float32", (max_tokens,)),
        )
        self.video_record = (TensorSpec(VISUAL_TOKENS, "float32", (clips, side * side, width)),)

    def grids(self, frames: Tensor) -> Tensor:
        """Frames [V, C J, 3, S, S], uint8 or normalised, to their grids [V, C, J, S / 64, S / 64, D]."""
        frames = frames if frames.is_floating_point() else self.standardise(frames)
        grids: Tensor = self.cnn(frames.flatten(0, 1)).unflatten(0, (-1, self.clips, self.clip_frames))
        return grids

    def encode_video(self, frames: Tensor) -> tuple[Tensor]:
        """Frames [V, C J, 3, S, S] to visual tokens [V, C, T, D]."""
        return (self.transformer.bert.visual_embeddings(self.grids(frames)),)

    def encode_text(self, token_ids: Tensor) -> tuple[Tensor, Tensor]:
        """Token ids int64 [Q, W] to embedded words [Q, W, D] and their mask [Q, W]."""
        words = self.transformer.bert.embeddings(token_ids)
        return words, (token_ids != 0).to(words.dtype)

    def logits(self, text: Sequence[Tensor], video: Sequence[Tensor]) -> Tensor:
        """The logits [Q, V, C, L] of every clip; see ``kernels/clip_pooling``."""
        (words, mask), (tokens,) = text, video
        queries, videos = words.shape[0], tokens.shape[0]
        pairs = clip_logits(
            self.transformer,
            words.unsqueeze(1).expand(-1, videos, -1, -1).flatten(0, 1),
            mask.unsqueeze(1).expand(-1, videos, -1).flatten(0, 1),
            tokens.unsqueeze(0).expand(queries, -1, -1, -1, -1).flatten(0, 1),
        )
        logits: Tensor = pairs.unflatten(0, (queries, videos))
        return logits

    def pool(self, logits: Tensor) -> Tensor:
        """Clips' logits [Q, V, C, L] to probabilities [Q, V]."""
        queries = logits.shape[0]
        scores: Tensor = match(POOLINGS[self.pooling](logits.flatten(0, 1))).unflatten(0, (queries, -1))
        return scores

    def score(self, text: Sequence[Tensor], video: Sequence[Tensor]) -> Tensor:
        """The probability of every pair, which the authors round to four digits before they rank."""
        return self.pool(self.logits(text, video))

    def standardise(self, frames: Tensor) -> Tensor:
        """As ``System.standardise``: RGB less its mean, black bars as well."""
        weight = self.transformer.classifier[0].weight
        assert isinstance(weight, Tensor)
        return frames.to(weight.dtype) - weight.new_tensor(MEAN)[:, None, None]

    def folded(self) -> Self:
        """As ``System.folded``: normalisations go into their convolutions."""
        folded = self.sharing_weights()
        for module in folded.modules():
            if isinstance(module, NormedConv):
                module.fold()
        return folded

    @property
    def together(self) -> int:
        """As ``System.together``."""
        return self.clip_frames

    @property
    def embed_dim(self) -> int:
        """As ``System.embed_dim``."""
        return self.sizes.bert.width


def _grid_side(pixels: int) -> int:
    """The side of a picture's grid: halved five times, each half rounded up, and once more, rounded down."""
    return -(-pixels // (CELL // 2)) // 2


def build(sizes: ClipBertSizes, options: Mapping[str, Any]) -> ClipBert:
    """The module of all options, with random weights."""
    kept = dict(options)
    return ClipBert(replace(sizes, bert=replace(sizes.bert, heads=kept.pop("heads"))), **kept)


def infer(weights: Weights) -> ClipBertSizes:
    """What the weights show: all sizes but those of a picture, a clip and an attention head."""
    prefix = "transformer.bert."
    bert = bert_sizes(weights, prefix)
    stages: list[Stage] = []
    while weights.has(f"{_BACKBONE}res{len(stages) + 2}."):
        name = f"{_BACKBONE}res{len(stages) + 2}."
        outer, inner = weights.shape(f"{name}0.conv3.weight", 4)[:2]
        stages.append(Stage(weights.count(name), inner, outer))
    if len(stages) != len(RESNET_50):
        raise weights.unfit(f"its convolutions have {len(stages)} stages under {_BACKBONE}, they must have 4")
    if not weights.has("transformer.classifier.") and weights.has("transformer.cls."):
        raise weights.error(
            "it was pretrained on images and captions and has no classifier of pairs: bring a checkpoint that was "
            "trained for retrieval"
        )
    grid = weights.shape(f"{prefix}visual_embeddings.row_position_embeddings.weight", 2)[0]
    inner = weights.shape("transformer.classifier.0.weight", 2)[0]
    labels = weights.shape("transformer.classifier.2.weight", 2)[0]
    if labels not in (1, 2):
        raise weights.error(
            f"its classifier has {labels} answers: a model for retrieval has 2, or 1 (the others answer questions)"
        )
    stem = weights.shape(f"{_BACKBONE}stem.conv1.weight", 4)[0]
    weights.towers = (
        f"ResNet of {'-'.join(str(stage.blocks) for stage in stages)} blocks; BERT {bert.width} wide with "
        f"{bert.layers} layers, {bert.positions} positions, {bert.vocab_size} tokens; {labels} logits"
    )
    return ClipBertSizes(stem, tuple(stages), bert, grid, inner, labels)


_SMALL = ClipBertSizes(4, tuple(Stage(1, 4 << place, 16 << place) for place in range(4)), SMALL_BERT, 8, 32)
_DETECTOR = ("proposal_generator.", "roi_heads.", "pixel_mean", "pixel_std", "anchor_generator.")
CLIPBERT = SystemCard(
    name="clipbert",
    title="ClipBERT",
    signs=(Sign("transformer.bert.visual_embeddings.", "it has ClipBERT's transformer.bert.visual_embeddings"),),
    infer=infer,
    options=(
        Option("clips", 1, "clips are not in the weights; the authors took 1, and 16 for their best", most=64),
        Option("clip_frames", 2, "frames of a clip are not in the weights", most=16),
        Option("image_size", 448, "the size of a picture is not in the weights", "long side in pixels", CELL, 1024),
        replace(MAX_TOKENS, default=20),
        Option(
            "pooling",
            "lse",
            "how clips become a video is not in the weights",
            "or `mean`, `max`",
        ),
        replace(
            HEADS,
            default=lambda sizes, found: usual_heads(sizes.bert.width),
            why=lambda sizes, found: f"heads are not in the weights: {sizes.bert.width} / {HEAD_WIDTH}",
            what="of BERT",
        ),
    ),
    build=build,
    preprocessing=Preprocessing(
        FrameProfile(sampler="clips", resize="tensor_padded", missing="repeat", mean=MEAN, std=STD),
        tokenizer="wordpiece",
    ),
    unused=lambda found: (
        *(f"cnn.feature.{part}" for part in _DETECTOR),
        "transformer.bert.visual_embeddings.position_embeddings.",
        "transformer.cls.",
    ),
    sizes=ClipBertSizes(),
    lengths=((2, 20),),
    code="jayleicn/ClipBERT",
    checkpoints="pretrained on images and captions, linked in the repository; none for retrieval",
    examples=(Example("", _SMALL, small={"image_size": 128, "clips": 2}),),
)
