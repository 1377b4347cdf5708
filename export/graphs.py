"""The three functions of a system as modules of their own, ready to be exported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from .bundle.ports import (
    FILM_CLIPS,
    FILM_SECONDS,
    FRAMES,
    LIKE_ENCODER,
    MASKS,
    SCORER,
    TEXT_ENCODER,
    VIDEO_ENCODER,
    graph_ports,
)
from .bundle.spec import GraphPorts, TensorSpec
from .systems.contract import System

# Of random films: unlike any fixed dimension, as a fixed one would be taken for a constant.
FILM = {"seconds": 3, "clips": 2, "height": 72, "width": 104}


class VideoEncoder(nn.Module):
    """What ``System.video_inputs`` names to the video record. Pixels are RGB from 0 to 255, whatever their dtype."""

    def __init__(self, system: System) -> None:
        super().__init__()
        self.system = system

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """See ``System.encode_video``."""
        first, *more = inputs
        if self.system.takes_frames and first.is_floating_point():
            first = self.system.standardise(first)
        return tuple(self.system.encode_video(first, *more))


class TextEncoder(nn.Module):
    """Token ids int64 [B, W] to the text record."""

    def __init__(self, system: System) -> None:
        super().__init__()
        self.system = system

    def forward(self, token_ids: Tensor) -> tuple[Tensor, ...]:
        """See ``System.encode_text``."""
        return tuple(self.system.encode_text(token_ids))


class Scorer(nn.Module):
    """Text records [Q, ...] and video records [V, ...] to scores [Q, V], and where there is one attention [Q, V, F]."""

    def __init__(self, system: System) -> None:
        super().__init__()
        self.system = system
        self.split = sum(tensor.scored for tensor in system.text_record)

    def forward(self, *records: Tensor) -> tuple[Tensor, ...]:
        """See ``System.score`` and ``System.attend``."""
        text, video = records[: self.split], records[self.split :]
        return self.system.attend(text, video) if self.system.scorer.attends else (self.system.score(text, video),)


class LikeEncoder(nn.Module):
    """Tensors of a video record to the text record that finds videos like it."""

    def __init__(self, system: System) -> None:
        super().__init__()
        self.system = system

    def forward(self, *video: Tensor) -> tuple[Tensor, ...]:
        """See ``System.encode_like``."""
        return tuple(self.system.encode_like(*video))


def graphs(system: System) -> dict[str, nn.Module]:
    """The modules of every graph, by name, in evaluation mode and the system's own precision."""
    folded = system.eval().folded()
    return {VIDEO_ENCODER: VideoEncoder(folded), TEXT_ENCODER: TextEncoder(folded), SCORER: Scorer(folded)}


def like_graph(system: System) -> dict[str, nn.Module]:
    """The module of the graph that searches by a video, by its name; empty where the system has none."""
    return {LIKE_ENCODER: LikeEncoder(system.eval().folded())} if system.like_inputs else {}


def ports(system: System) -> Mapping[str, GraphPorts]:
    """Inputs and outputs of every graph, by name."""
    return graph_ports(
        system.video_inputs,
        system.text_record,
        system.video_record,
        length=system.max_tokens if system.fixed_length else None,
        attends=system.scorer.attends,
        like=system.like_inputs,
    )


def random_video_inputs(system: System, rows: int, generator: torch.Generator) -> tuple[Tensor, ...]:
    """Random clips, in the order and dtypes of ``System.video_inputs``.

    A clip's frames resemble one another, as a video's do; where there is a mask a clip has one frame at least and
    padding behind its last. Features are random files, read as the system's rule reads a user's.
    """
    features = {} if system.features is None else system.random_features(rows, generator)
    return tuple(
        features[tensor.name] if tensor.name in features else _random_input(tensor, rows, generator)
        for tensor in system.video_inputs
    )


def random_mask(rows: int, frames: int, generator: torch.Generator) -> Tensor:
    """Masks float32 [rows, F] of videos with 1 to F frames."""
    counts = torch.randint(1, frames + 1, (rows, 1), generator=generator)
    return (torch.arange(frames) < counts).float()


def with_pixels(system: System, dtype: str) -> System:
    """The system, set to take frames of ``dtype``: uint8, or float32 from 0 to 255; one that takes none, as it is."""
    if system.takes_frames:
        frames, *more = system.video_inputs
        system.video_inputs = (replace(frames, dtype=dtype), *more)
    return system


def _random_input(tensor: TensorSpec, rows: int, generator: torch.Generator) -> Tensor:
    size = (rows, *tensor.shape)
    if tensor.name == FRAMES:
        scene = torch.randint(0, 256, (rows, 1, *size[2:]), generator=generator)
        pixels = (scene + torch.randint(-40, 41, size, generator=generator)).clamp(0, 255)
        if tensor.dtype == "uint8":
            return pixels.to(torch.uint8)
        # A resize of floats leaves fractions and overshoots.
        return pixels + torch.rand(size, generator=generator) * 2 - 1
    if tensor.name in (FILM_SECONDS, FILM_CLIPS):
        sides = tuple(FILM.get(str(dim), dim) for dim in tensor.dims)
        return torch.randint(0, 256, (rows, *map(int, sides)), generator=generator).to(torch.uint8)
    if tensor.name in MASKS:
        return random_mask(rows, tensor.shape[0], generator)
    return torch.randn(size, generator=generator)
