"""What every published system gives: three functions, and the named tensors that travel between them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..bundle.features.profile import FeatureProfile
from ..bundle.features.reading import feature_inputs
from ..bundle.manifest import FilmProfile
from ..bundle.ports import FRAMES, OF_FRAMES
from ..bundle.scorer_card import ScorerCard
from ..bundle.scorers import DOT
from ..bundle.spec import TensorSpec
from .random_arrays import random_arrays

Record = tuple[Tensor, ...]


@dataclass(frozen=True)
class PluginNode:
    """The one node that a scorer's graph becomes where a TensorRT plugin can take it over; see ``custom_node``.

    Attributes:
        operator: its type, which is the plugin's name.
        sizes: its attributes.
        narrow: the input that may be float16 as well.
    """

    operator: str
    sizes: Mapping[str, int]
    narrow: str


class System(nn.Module, ABC):
    """A published system with its authors' weights. Its state_dict is the authors' checkpoint.

    The scores of a pair depend on that pair's records alone. ``video_inputs``, ``text_record`` and ``video_record`` are
    in the order of the functions' arguments and results; their dims leave out the batch. A system whose videos come as
    features has ``features``, by whose rule a file becomes those of ``video_inputs`` that are not made of a film; one
    that reads a film from its beginning to its end has ``film``.
    """

    name: ClassVar[str]
    # What reads the records.
    scorer: ClassVar[ScorerCard]
    # Token positions of every text; a text encoder that reads only up to the end token takes fewer as well.
    max_tokens: int
    video_inputs: tuple[TensorSpec, ...]
    features: FeatureProfile | None = None
    film: FilmProfile | None = None
    text_record: tuple[TensorSpec, ...]
    video_record: tuple[TensorSpec, ...]

    @abstractmethod
    def encode_video(self, *args: Any, **kwargs: Any) -> Record:
        """What ``video_inputs`` names: frames [V, F, 3, H, W], uint8 RGB or floating and already normalised, first.

        Returns:
            The video record.
        """

    @abstractmethod
    def encode_text(self, token_ids: Tensor) -> Record:
        """Token ids int64 [Q, W] to the text record."""

    @abstractmethod
    def score(self, text: Sequence[Tensor], video: Sequence[Tensor]) -> Tensor:
        """Text records [Q, ...] and video records [V, ...] to scores [Q, V], by which the authors rank.

        Tensors that are not ``scored`` may be left out at the end of either record.
        """

    def attend(self, text: Sequence[Tensor], video: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Scores [Q, V] and how much each frame counted [Q, V, F], where the scorer ``attends``."""
        raise NotImplementedError(f"{self.name} has no weight for a frame")

    @property
    def like_inputs(self) -> tuple[TensorSpec, ...]:
        """The tensors of the video record that ``encode_like`` reads; none where no video can stand for a text.

        A scorer that is a dot product compares vectors of one space, whichever side they are of.
        """
        return self.video_record if self.scorer is DOT else ()

    def encode_like(self, *video: Tensor) -> Record:
        """``like_inputs`` [B, ...] of videos to the text record that finds videos like these.

        Where the score is a dot product, the video's own vector [B, D] in the place of a text's and as long as one.
        """
        return (self.text_length() * unit(video[0]),)

    def text_length(self) -> Tensor | float:
        """The length of every text's vector, where the scorer is a dot product."""
        return 1.0

    @property
    def search_options(self) -> Mapping[str, Any]:
        """What a search has to know of the weights beside the records: options of the manifest."""
        return {}

    def standardise(self, frames: Tensor) -> Tensor:
        """RGB from 0 to 255 [..., 3, H, W] of any dtype to what ``encode_video`` takes for normalised."""
        raise NotImplementedError(f"{self.name} takes no frames")

    @property
    @abstractmethod
    def embed_dim(self) -> int:
        """D, the numbers of a vector that the scorer compares."""

    @property
    @abstractmethod
    def vocab_size(self) -> int:
        """How many tokens the text encoder knows."""

    @property
    @abstractmethod
    def text_positions(self) -> int:
        """The most token positions of a text that the weights allow."""

    @abstractmethod
    def random_token_ids(self, rows: int, length: int, generator: torch.Generator) -> Tensor:
        """Random texts: token ids int64 [rows, length], with whatever marks their ends and zeros behind it."""

    def random_arrays(self, generator: torch.Generator) -> Mapping[str, NDArray[Any]]:
        """A random feature file, for a system that takes one, as ``features`` describes it."""
        assert self.features is not None
        return random_arrays(self.features, generator)

    def random_features(self, rows: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Those of ``video_inputs`` that are not made of a film, of ``rows`` random feature files, by name."""
        assert self.features is not None
        ports = {port.name: port for port in self.video_inputs if port.name not in OF_FRAMES}
        made = [feature_inputs(self.random_arrays(generator), self.features, ports) for _ in range(rows)]
        return {name: torch.from_numpy(np.stack([inputs[name] for inputs in made])) for name in ports}

    @property
    def published(self) -> System:
        """The same model by its authors' own formula, in the records that this formula reads: most keep just those.

        Where it is another system, ``reduce_text`` and ``reduce_video`` make this one's records of its records.
        """
        return self

    def reduce_text(self, published: Sequence[Tensor]) -> Record:
        """The text record of what ``published`` encodes of texts."""
        return tuple(published)

    def reduce_video(self, published: Sequence[Tensor]) -> Record:
        """The video record of what ``published`` encodes of videos; what is left out of one is missing in the other."""
        return tuple(published)

    def folded(self) -> System:
        """A system of the same scores in which what depends on the weights alone has been computed, in their dtype.

        To be called after the last cast; this one stays as it is.
        """
        return self

    @property
    def plugin_node(self) -> PluginNode | None:
        """How the scorer's graph is written as one node, where a TensorRT plugin has its kernel."""
        return None

    @property
    def fixed_length(self) -> bool:
        """Whether a text must have exactly ``max_tokens`` positions."""
        return self.scorer.fixed_length

    @property
    def together(self) -> int:
        """How many frames are a clip, where a video is read clip by clip; 1 elsewhere."""
        return 1

    @property
    def frames(self) -> int:
        """F, the frames that a video is encoded from; 0 where it brings features alone."""
        return self.video_inputs[0].shape[0] if self.takes_frames else 0

    @property
    def takes_frames(self) -> bool:
        """Whether a video brings pictures."""
        return self.video_inputs[0].name == FRAMES

    def sharing_weights(self) -> Self:
        """A copy to which modules and buffers can be added; its weights are this one's own."""
        return deepcopy(self, {id(tensor): tensor for tensor in (*self.parameters(), *self.buffers())})


def pixels(frames: int, size: int) -> TensorSpec:
    """The first of ``System.video_inputs`` where a video brings pictures."""
    return TensorSpec(FRAMES, "uint8", (frames, 3, size, size))


def unit(x: Tensor) -> Tensor:
    """``x`` divided by the length of its last axis, without an epsilon."""
    length: Tensor = x.norm(dim=-1, keepdim=True)
    return x / length
