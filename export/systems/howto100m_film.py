"""HowTo100M with its published extractor: a film's features, and the model that reads them, as one."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..bundle.manifest import FilmProfile, FrameProfile
from ..bundle.ports import FILM_CLIPS, FILM_SECONDS
from ..bundle.spec import TensorSpec
from ..encoders.film_networks import FilmNetwork, NetworkSizes, one_by_one

# Pictures of ImageNet and of Kinetics, RGB from 0 to 255.
MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
CLIP_MEAN, CLIP_STD = (110.6, 103.2, 96.3), (1.0, 1.0, 1.0)
# The short sides of pictures and of clips, and pictures of a clip and of a second of clips.
SIDE, CLIP_SIDE, CLIP, RATE = 224, 112, 16, 24
# The networks' names here, which are no part of the authors' file.
EXTRACTOR = "extractor."
FLAT, DEEP = "flat", "deep"
# Of the authors' 2D normalisation.
_TINY = 255e-8


@dataclass(frozen=True)
class FilmSizes:
    """The sizes of the networks of pictures and of clips."""

    flat: NetworkSizes
    deep: NetworkSizes


class Extractor(nn.ModuleDict):
    """Both networks, and how their features become a film's (antoine77340/video_feature_extractor).

    A row of features is made unit, then a film's are the largest of its rows.
    """

    mean: Tensor
    std: Tensor
    clip_mean: Tensor

    def __init__(self, sizes: FilmSizes) -> None:
        super().__init__({FLAT: FilmNetwork(sizes.flat), DEEP: FilmNetwork(sizes.deep)})
        # Constants may not be made where a graph goes through rows one by one.
        for name, value in (("mean", MEAN), ("std", [side + _TINY for side in STD]), ("clip_mean", CLIP_MEAN)):
            self.register_buffer(name, torch.tensor(value)[:, None, None], persistent=False)

    def forward(self, seconds: Tensor, clips: Tensor) -> tuple[Tensor, Tensor]:
        """Pictures uint8 [V, N, 3, H, W] and clips uint8 [V, M, T, 3, S, S] to features [V, 2D] and [V, 3D]."""
        return self._pooled(FLAT, seconds), self._pooled(DEEP, clips)

    def _pooled(self, name: str, rows: Tensor) -> Tensor:
        made = one_by_one(lambda row: F.normalize(self[name](self._standard(name, row)), dim=-1), rows.flatten(0, 1))
        pooled: Tensor = made.unflatten(0, (rows.shape[0], -1)).amax(1)
        return pooled

    def _standard(self, name: str, row: Tensor) -> Tensor:
        """A picture or a clip as its network reads it."""
        pixels = row.to(self.mean.dtype)
        if name == FLAT:
            return (pixels - self.mean) / self.std
        return (pixels - self.clip_mean).transpose(1, 2)

    def fold(self) -> None:
        """Let normalisations go into their convolutions."""
        for network in self.values():
            assert isinstance(network, FilmNetwork)
            network.fold()


def film_inputs() -> tuple[TensorSpec, TensorSpec]:
    """What the extractor reads, as ``System.video_inputs``."""
    return (
        TensorSpec(FILM_SECONDS, "uint8", ("seconds", 3, "height", "width")),
        TensorSpec(FILM_CLIPS, "uint8", ("clips", CLIP, 3, CLIP_SIDE, CLIP_SIDE)),
    )


def film_profile(seconds: int) -> FilmProfile:
    """The authors' way from a film of at most so many seconds to pixels."""
    whole = FrameProfile(
        seconds, SIDE, "each_second", "ffmpeg_bicubic", crop="none", missing="none", mean=MEAN, std=STD
    )
    clips = FrameProfile(
        -(-seconds * RATE // CLIP) * CLIP,
        CLIP_SIDE,
        "film_rate",
        "ffmpeg_bicubic",
        missing="none",
        mean=CLIP_MEAN,
        std=CLIP_STD,
        together=CLIP,
    )
    return FilmProfile(whole, clips)
