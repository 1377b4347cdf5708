"""MMT (Gabeur et al., ECCV 2020): a transformer over the features of several experts, and a BERT that weighs them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from ...kernels.dot.reference import dot
from ...kernels.weighed_experts.reference import weighed_experts
from ..bundle.features.profile import FeatureArray, FeatureProfile
from ..bundle.features.rules import FEATURE_MASK, FEATURE_TIMES, TIMES, port_of
from ..bundle.manifest import SENTENCE_CLEANING
from ..bundle.ports import EXPERT_EMBEDDINGS, EXPERT_LOGITS, EXPERT_MASK, TEXT_EMBEDDING
from ..bundle.scorers import DOT, WEIGHED_EXPERTS
from ..bundle.spec import TensorSpec
from ..encoders.bert import Bert, BertConfig
from ..encoders.expert_bert import ExpertBert
from ..encoders.gated import GatedUnit
from .bert import SMALL_BERT, TEXT_HEADS, TOKENS, bert_sizes, described
from .card import Example, Sign, SystemCard
from .options import Option
from .preprocessing import Preprocessing
from .weights import Weights
from .word_pieces import WordPieceSystem

# The authors' number of every expert, and the seconds of a row of those whose rows follow one another in time.
EXPERTS: Mapping[str, tuple[int, float | None]] = {
    "face": (3, None),
    "ocr": (7, None),
    "rgb": (5, 0.2),
    "s3d": (1, 1.0),
    "scene": (9, 1.0),
    "speech": (6, None),
    "vggish": (2, 1.0),
    # Features of the experts' first authors, which that code can read as well.
    "audio_c": (1, None),
    "face_c": (2, None),
    "ocr_c": (6, None),
    "speech_c": (10, None),
}
# Whose times the authors' code takes from the file. Those of others it makes itself, whatever the file says.
_TOLD = ("s3d", "vggish")
_HEAD_WIDTH = 128
# The logit of an expert that a video lacks which is searched with: its share is zero.
MISSING = -1e4
_DIMS = {"face": 512, "ocr": 300, "rgb": 2048, "s3d": 1024, "scene": 2208, "speech": 300, "vggish": 128}


@dataclass(frozen=True)
class MmtSizes:
    """The experts' widths by name, and the sizes of both transformers; ``kinds`` are rows of the table of experts."""

    dims: Mapping[str, int] = field(default_factory=lambda: _DIMS)
    width: int = 512
    layers: int = 4
    inside: int = 3072
    positions: int = 32
    kinds: int = 19
    text: BertConfig = field(default_factory=lambda: BertConfig(vocab_size=28996))


class Projection(nn.Module):
    """An expert's features to unit vectors of the common width."""

    def __init__(self, takes: int, gives: int) -> None:
        super().__init__()
        self.fc = nn.Linear(takes, gives)

    def forward(self, x: Tensor) -> Tensor:
        """[..., takes] to [..., gives]."""
        return F.normalize(self.fc(x), dim=-1)


class Mmt(WordPieceSystem):
    """One vector of all experts a side; the score is their dot product: of each expert, weighed by the text."""

    name = "mmt"
    scorer = DOT

    def __init__(self, sizes: MmtSizes, *, rows: int, max_tokens: int, video_heads: int) -> None:
        super().__init__()
        names = sorted(sizes.dims)
        self.sizes, self.text_sizes, self.experts, self.max_tokens = sizes, sizes.text, names, max_tokens
        self.features = FeatureProfile("experts", tuple(a for name in names for a in _arrays(name, sizes.dims[name])))
        shape = (len(names), rows)
        self.video_inputs = (
            *(TensorSpec(port_of(name), "float32", (1 + rows, sizes.dims[name])) for name in names),
            TensorSpec(FEATURE_TIMES, "float32", shape),
            TensorSpec(FEATURE_MASK, "float32", shape),
        )
        self.text_record = (TensorSpec(TEXT_EMBEDDING, "float32", (len(names) * sizes.width,)),)
        self.video_record = (TensorSpec(EXPERT_EMBEDDINGS, "float32", (len(names) * sizes.width,)),)
        self.video_dim_reduce = nn.ModuleDict({name: Projection(sizes.dims[name], sizes.width) for name in names})
        self.vid_bert = ExpertBert(
            sizes.width,
            sizes.layers,
            sizes.inside,
            positions=sizes.positions,
            kinds=sizes.kinds,
            types=[EXPERTS[name][0] for name in names],
            heads=video_heads,
        )
        self.txt_bert = Bert(sizes.text)
        self.text_GU = nn.ModuleDict({name: GatedUnit(sizes.text.width, sizes.width, norm=True) for name in names})
        self.moe_fc_txt = nn.ModuleDict({name: nn.Linear(sizes.text.width, 1) for name in names})

    def embed_video(self, *inputs: Tensor) -> Tensor:
        """What ``video_inputs`` names to unit vectors [V, M, D]."""
        *features, times, present = inputs
        projected = [self.video_dim_reduce[name](x) for name, x in zip(self.experts, features, strict=True)]
        return self.vid_bert(torch.stack(projected, 1), times, present)  # type: ignore[no-any-return]

    def embed_text(self, token_ids: Tensor) -> tuple[Tensor, Tensor]:
        """Token ids int64 [Q, W] to unit vectors [Q, M, D] and the logits of the experts' weights [Q, M]."""
        first = self.txt_bert(token_ids)[:, 0]
        embedded = torch.stack([self.text_GU[name](first) for name in self.experts], 1)
        return embedded, torch.cat([self.moe_fc_txt[name](first) for name in self.experts], 1)

    def encode_video(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """What ``video_inputs`` names to the experts' vectors one behind the other, [V, M * D]."""
        return (self.embed_video(*inputs).flatten(1),)

    def encode_text(self, token_ids: Tensor) -> tuple[Tensor, ...]:
        """Token ids int64 [Q, W] to the weighed vectors of all experts, [Q, M * D]."""
        embedded, logits = self.embed_text(token_ids)
        return ((logits.softmax(-1).unsqueeze(-1) * embedded).flatten(1),)

    def encode_like(self, *video: Tensor) -> tuple[Tensor, ...]:
        """Vectors of all experts [B, M * D] to a text's that weighs every expert alike: M experts' mean of cosines."""
        return (self._unit_experts(video[0]) / len(self.experts),)

    def _unit_experts(self, vectors: Tensor) -> Tensor:
        """Vectors [B, M * D], each expert's of length one; zeros stay zeros."""
        return F.normalize(vectors.unflatten(1, (len(self.experts), -1)), dim=-1).flatten(1)

    def score(self, text: Sequence[Tensor], video: Sequence[Tensor]) -> Tensor:
        """See ``kernels/dot``."""
        return dot(text[0], video[0])

    @property
    def embed_dim(self) -> int:
        """Numbers of all experts' vectors."""
        return len(self.experts) * self.sizes.width

    def random_arrays(self, generator: torch.Generator) -> Mapping[str, NDArray[Any]]:
        """As ``System.random_arrays``: times are those of experts that are there, in seconds from 0 on."""
        found = super().random_arrays(generator)
        kept = {name: array for name, array in found.items() if name.removesuffix(TIMES) in found}
        made = {name: 20 * abs(array) if name.endswith(TIMES) else array for name, array in kept.items()}
        return made or self.random_arrays(generator)


class MmtOfPresent(Mmt):
    """The experts that a video has share its score: the authors' ``keep_missing_modalities``, turned off."""

    scorer = WEIGHED_EXPERTS

    def __init__(self, sizes: MmtSizes, **lengths: int) -> None:
        super().__init__(sizes, **lengths)
        count = (len(self.experts),)
        self.text_record = (*self.text_record, TensorSpec(EXPERT_LOGITS, "float32", count))
        self.video_record = (*self.video_record, TensorSpec(EXPERT_MASK, "float32", count))

    def encode_video(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """What ``video_inputs`` names to vectors [V, M * D], zeros for missing experts, and which are there [V, M]."""
        present = inputs[-1].amax(2)
        return (self.embed_video(*inputs) * present.unsqueeze(-1)).flatten(1), present

    def encode_text(self, token_ids: Tensor) -> tuple[Tensor, ...]:
        """Token ids int64 [Q, W] to the vectors of all experts [Q, M * D] and the logits of their weights [Q, M]."""
        embedded, logits = self.embed_text(token_ids)
        return embedded.flatten(1), logits

    @property
    def like_inputs(self) -> tuple[TensorSpec, ...]:
        """Both tensors."""
        return self.video_record

    def encode_like(self, *video: Tensor) -> tuple[Tensor, ...]:
        """Vectors [B, M * D] and which experts are there [B, M] to a text's that weighs those alike and no others."""
        vectors, present = video
        return self._unit_experts(vectors), (1 - present) * MISSING

    def score(self, text: Sequence[Tensor], video: Sequence[Tensor]) -> Tensor:
        """See ``kernels/weighed_experts``."""
        return weighed_experts(*text, *video)


def _arrays(name: str, width: int) -> list[FeatureArray]:
    """An expert's features and their times, which the authors' files have of any expert."""
    rows, told = f"rows_{name}", name in _TOLD
    return [
        FeatureArray(name, (rows, width), optional=True, seconds=EXPERTS[name][1]),
        FeatureArray(f"{name}{TIMES}", (rows, 2), optional=True, zeros=True, unread=not told),
    ]


def infer(weights: Weights) -> MmtSizes:
    """What the weights show: the experts and their widths, and both transformers."""
    prefix = "video_dim_reduce."
    names = sorted({key.removeprefix(prefix).split(".")[0] for key in weights.state if key.startswith(prefix)})
    if strangers := [name for name in names if name not in EXPERTS]:
        raise weights.unfit(
            f"its expert {strangers[0][:60]!r} is none of the authors': {', '.join(EXPERTS)}. How its rows are placed "
            "in time is not known"
        )
    dims = {name: weights.shape(f"{prefix}{name}.fc.weight", 2)[1] for name in names}
    positions, width = weights.shape("vid_bert.embeddings.position_embeddings.weight", 2)
    kinds = weights.shape("vid_bert.embeddings.token_type_embeddings.weight", 2)[0]
    if kinds <= max(EXPERTS[name][0] for name in names):
        raise weights.unfit(f"its table of experts has {kinds} rows, which is not the authors'")
    layers = weights.count("vid_bert.encoder.layer.")
    if not layers:
        raise weights.unfit("its video transformer has no layers")
    inside = weights.shape("vid_bert.encoder.layer.0.intermediate.dense.weight", 2)[0]
    text = bert_sizes(weights, "txt_bert.")
    shown = ", ".join(f"{name} {dim}" for name, dim in dims.items())
    weights.towers = f"experts {shown}; video {width} wide with {layers} layers; {described(text)}"
    return MmtSizes(dims, width, layers, inside, positions, kinds, text)


def build(sizes: MmtSizes, options: Mapping[str, Any]) -> Mmt:
    """The module of all options, with random weights."""
    sizes = replace(sizes, text=replace(sizes.text, heads=options["text_heads"]))
    lengths = {name: options[name] for name in ("rows", "max_tokens", "video_heads")}
    return Mmt(sizes, **lengths) if options["keep_missing_modalities"] else MmtOfPresent(sizes, **lengths)


_SMALL = MmtSizes(
    {"face": 24, "rgb": 40, "s3d": 32, "vggish": 16}, 48, 2, 96, 32, 19, replace(SMALL_BERT, width=64, inside=128)
)

MMT = SystemCard(
    name="mmt",
    title="MMT",
    signs=(Sign("video_dim_reduce.", "it has MMT's video_dim_reduce"),),
    infer=infer,
    options=(
        Option(
            "rows",
            30,
            "how many rows are read of an expert is not in the weights: the authors took 100 for ActivityNet",
            "the most rows of an expert",
            most=1000,
        ),
        replace(TOKENS, default=lambda sizes, found: min(30, sizes.text.positions)),
        Option(
            "video_heads",
            lambda sizes, found: max(1, sizes.width // _HEAD_WIDTH),
            lambda sizes, found: f"heads are not in the weights: {sizes.width} / {_HEAD_WIDTH}",
        ),
        TEXT_HEADS,
        Option(
            "keep_missing_modalities",
            True,
            "what becomes of missing experts is not in the weights: the authors kept them",
            "`false` leaves a missing expert out of a score",
        ),
    ),
    build=build,
    preprocessing=Preprocessing(None, tokenizer="wordpiece", cleaning=SENTENCE_CLEANING),
    unused=lambda found: ("vid_bert.pooler.", "txt_bert.pooler."),
    sizes=MmtSizes(),
    lengths=((0, 30), (0, 100)),
    code="gabeur/mmt",
    checkpoints="three, linked in the repository",
    examples=(
        Example("", _SMALL, small={"rows": 6}),
        Example("of present experts", _SMALL, {"keep_missing_modalities": False}, small={"rows": 6}),
    ),
)
