"""HowTo100M (Miech et al., ICCV 2019): pooled features of a film and vectors of words, each through a gated unit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...kernels.dot.reference import dot
from ..bundle.features.profile import FeatureArray, FeatureProfile
from ..bundle.features.rules import port_of
from ..bundle.limits import MAX_FILM_FRAMES
from ..bundle.ports import TEXT_EMBEDDING, VIDEO_EMBEDDING
from ..bundle.scorers import DOT
from ..bundle.spec import TensorSpec
from ..encoders.film_networks import sizes_of
from ..encoders.gated import GatedUnit
from .card import Example, Sign, SystemCard
from .contract import System
from .howto100m_film import DEEP as DEEP_NETWORK
from .howto100m_film import EXTRACTOR, RATE, Extractor, FilmSizes, film_inputs, film_profile
from .howto100m_film import FLAT as FLAT_NETWORK
from .options import MAX_TOKENS, Option
from .preprocessing import Preprocessing
from .weights import Weights

FLAT, DEEP = "2d", "3d"
# The table of word vectors, which is no part of the authors' file: row 0 stands for no word.
WORDS = "word_vectors.weight"


@dataclass(frozen=True)
class HowTo100mSizes:
    """Numbers of an embedding, a sentence, a film's features of both kinds and a word; and how many words there are."""

    width: int = 6144
    sentence: int = 6144
    video: int = 4096
    word: int = 300
    words: int = 300_000
    film: FilmSizes | None = None


class HowTo100m(System):
    """One unit vector a side; the score is their dot product."""

    name = "howto100m"
    scorer = DOT

    def __init__(
        self, sizes: HowTo100mSizes, max_tokens: int = 20, width_2d: int | None = None, film_seconds: int = 180
    ) -> None:
        super().__init__()
        flat = sizes.video // 2 if width_2d is None else width_2d
        if not 0 < flat < sizes.video:
            raise ValueError(f"width_2d is {flat}, the weights read {sizes.video} numbers of 2D and 3D features")
        widths = {FLAT: flat, DEEP: sizes.video - flat}
        self.max_tokens = max_tokens
        self.extractor = None if sizes.film is None else Extractor(sizes.film)
        if sizes.film is None:
            self.features = FeatureProfile(
                "pooled", tuple(FeatureArray(name, (f"rows_{name}", width)) for name, width in widths.items())
            )
            self.video_inputs = tuple(TensorSpec(port_of(name), "float32", (width,)) for name, width in widths.items())
        elif (made := (sizes.film.flat.width, sizes.film.deep.width)) != tuple(widths.values()):
            raise ValueError(
                f"the film's networks make {made[0]} and {made[1]} numbers, the weights read {flat} and {widths[DEEP]}"
            )
        else:
            self.film, self.video_inputs = film_profile(film_seconds), film_inputs()
        self.text_record = (TensorSpec(TEXT_EMBEDDING, "float32", (sizes.width,)),)
        self.video_record = (TensorSpec(VIDEO_EMBEDDING, "float32", (sizes.width,)),)
        self.word_vectors = nn.Embedding(1 + sizes.words, sizes.word, padding_idx=0)
        self.text_pooling = nn.ModuleDict({"fc": nn.Linear(sizes.word, sizes.sentence)})
        self.GU_text = GatedUnit(sizes.sentence, sizes.width)
        self.GU_video = GatedUnit(sizes.video, sizes.width)

    @property
    def embed_dim(self) -> int:
        """Numbers of either vector."""
        return self.GU_video.fc.out_features

    @property
    def vocab_size(self) -> int:
        """Rows of the table, that of no word among them."""
        return self.word_vectors.num_embeddings

    @property
    def text_positions(self) -> int:
        """Any number of words: there are no positions."""
        return self.max_tokens

    @property
    def fixed_length(self) -> bool:
        """The empty places of a sentence take part in its maximum, so there must be as many as the authors had."""
        return True

    def encode_video(self, flat: Tensor, deep: Tensor) -> tuple[Tensor]:
        """Features that were pooled over time, [V, 2D] and [V, 3D], or a film, to unit vectors [V, D]."""
        if self.extractor is not None:
            flat, deep = self.extractor(flat, deep)
        return (self.GU_video(torch.cat([F.normalize(flat, dim=-1), F.normalize(deep, dim=-1)], dim=-1)),)

    def encode_text(self, token_ids: Tensor) -> tuple[Tensor]:
        """Rows of the word table int64 [Q, W], 0 for none, to unit vectors [Q, D]."""
        return (self.embed_words(self.word_vectors(token_ids)),)

    def embed_words(self, vectors: Tensor) -> Tensor:
        """Word vectors [Q, W, word], zeros where there is no word, to unit vectors [Q, D]."""
        return self.GU_text(F.relu(self.text_pooling["fc"](vectors)).amax(1))  # type: ignore[no-any-return]

    def score(self, text: Sequence[Tensor], video: Sequence[Tensor]) -> Tensor:
        """See ``kernels/dot``."""
        return dot(text[0], video[0])

    def folded(self) -> Self:
        """As ``System.folded``: normalisations go into their convolutions."""
        if self.extractor is None:
            return self
        folded = self.sharing_weights()
        assert folded.extractor is not None
        folded.extractor.fold()
        return folded

    def random_token_ids(self, rows: int, length: int, generator: torch.Generator) -> Tensor:
        """Sentences of one word to as many as fit; the rest of the places hold none."""
        ids = torch.randint(1, self.vocab_size, (rows, length), generator=generator)
        counts = torch.randint(1, length + 1, (rows, 1), generator=generator)
        return torch.where(torch.arange(length) < counts, ids, 0)


def infer(weights: Weights) -> HowTo100mSizes:
    """What the weights show: every width; how many words the table has, if it is there."""
    width, video = weights.shape("GU_video.fc.weight", 2)
    sentence, word = weights.shape("text_pooling.fc.weight", 2)
    words = weights.shape(WORDS, 2)[0] - 1 if WORDS in weights.state else 0
    weights.towers = f"{video} numbers of features and {word} of a word to {width}, {words} words"
    film = _film_sizes(weights) if weights.has(EXTRACTOR) else None
    if film is not None:
        layers = (sum(3 * stage.blocks for stage in net.stages) + 2 for net in (film.flat, film.deep))
        weights.towers += "; of a film, networks of {} and {} layers".format(*layers)
    return HowTo100mSizes(width, sentence, video, word, words, film)


def _film_sizes(weights: Weights) -> FilmSizes:
    found = []
    for dims, name in ((2, FLAT_NETWORK), (3, DEEP_NETWORK)):
        prefix = f"{EXTRACTOR}{name}."
        shapes = {key[len(prefix) :]: tuple(x.shape) for key, x in weights.state.items() if key.startswith(prefix)}
        for key in ("conv1.weight", "layer1.0.conv2.weight"):
            weights.shape(prefix + key, 2 + dims)
        try:
            found.append(sizes_of(dims, shapes))
        except (KeyError, ValueError, IndexError, ZeroDivisionError) as error:
            raise weights.unfit(f"its network {prefix} is not whole: it lacks {error}") from error
    return FilmSizes(*found)


def build(sizes: HowTo100mSizes, options: Mapping[str, Any]) -> HowTo100m:
    """The module of all options, with random weights."""
    return HowTo100m(sizes, options["max_tokens"], options["width_2d"], options.get("film_seconds", 0))


HOWTO100M = SystemCard(
    name="howto100m",
    title="HowTo100M",
    signs=(Sign("text_pooling.fc.", "it has HowTo100M's text_pooling"),),
    infer=infer,
    options=(
        replace(MAX_TOKENS, default=20, least=1, why="words of a sentence are not in the weights"),
        Option(
            "width_2d",
            lambda sizes, found: sizes.video // 2,
            lambda sizes, found: f"how many of the {sizes.video} numbers are 2D features is not in the weights: half",
        ),
        Option(
            "words",
            HowTo100mSizes.words,
            "the file of word vectors names the most frequent words first, and the rest is seldom asked for",
            "the most words that are kept",
        ),
        Option(
            "film_seconds",
            180,
            "how long a film may be is not in the weights",
            "the longest film that is read whole",
            most=MAX_FILM_FRAMES // RATE,
            applies=lambda sizes, found: sizes.film is not None,
        ),
    ),
    build=build,
    preprocessing=Preprocessing(None, tokenizer="words"),
    unused=lambda found: (
        *("GU_text.cg.batch_norm.", "GU_video.cg.batch_norm."),
        *(f"{EXTRACTOR}{name}.fc." for name in (FLAT_NETWORK, DEEP_NETWORK)),
    ),
    sizes=HowTo100mSizes(),
    lengths=((0, 20), (0, 30)),
    code="antoine77340/howto100m",
    checkpoints="one, linked in the repository",
    vectors=WORDS,
    networks=EXTRACTOR,
    examples=(Example("", HowTo100mSizes(96, 80, 64, 30, 40), small={"width_2d": 40}),),
)
