"""Synthetic films and texts of the reference model's shapes: topics of unlike size, and shots within a film."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import normalize

from ...export.bundle.topk_attention import text_record
from ...kernels.topk_attention.factorised import FactorisedHead
from ...kernels.topk_attention.layout import HeadShape
from ...kernels.topk_attention.reference import TopKAttention

Films = Literal["clusters", "moments"]
FILMS: tuple[Films, ...] = get_args(Films)
SHAPE = HeadShape(12, 512, 4)

Floats = npt.NDArray[np.float32]

_SEED, _TOPICS, _SHOTS = 11, 2000, 3
# Films that are drawn together, films that are encoded together, and what tells texts' numbers from films'.
_GROUP, _PIECE, _TEXT = 64, 512, 1 << 20
# A head as it is trained: not far from the authors' first values, with biases.
_SPREAD = 0.02


@dataclass(frozen=True)
class Sizes:
    """How far apart things are, in lengths of what all films have in common."""

    topic: float
    film: float
    shot: float
    frame: float
    text: float


# "moments": shots of a film have little to do with one another, and a text is about one of them.
_SIZES = {"clusters": Sizes(0.6, 0.5, 0.3, 0.2, 0.5), "moments": Sizes(0.5, 0.3, 1.0, 0.2, 0.5)}


@cache
def head() -> FactorisedHead:
    """What the weights of one checkpoint leave, always the same."""
    weights = torch.Generator().manual_seed(_SEED)
    made = TopKAttention(SHAPE.width, top_k=SHAPE.top_k)
    for parameter in made.parameters():
        parameter.data += _SPREAD * torch.randn(parameter.shape, generator=weights)
    return FactorisedHead(made, SHAPE.frames)


def biases() -> list[float]:
    """Of the head, as a manifest has them."""
    return [float(value) for value in head().biases.double()]


def frames(films: Films, start: int, count: int, version: int = 0) -> Floats:
    """Frame embeddings float32 [count, F, D] of the films from number ``start`` on; a number's are always the same."""
    first, last = start // _GROUP, (start + count - 1) // _GROUP
    made = np.concatenate([_group(films, number, version) for number in range(first, last + 1)])
    return made[start - first * _GROUP :][:count]


@torch.inference_mode()
def records(films: Films, start: int, count: int, version: int = 0) -> tuple[Floats, Floats, Floats]:
    """Frame vectors [count, 1, F, D], Gram tables [count, R] and unit means [count, D] of those films, float32."""
    parts = []
    for first in range(start, start + count, _PIECE):
        made = torch.from_numpy(frames(films, first, min(_PIECE, start + count - first), version))
        parts.append((*head().encode_video(made), normalize(normalize(made, dim=-1).mean(1), dim=-1)))
    vectors, tables, means = (torch.cat(part).numpy() for part in zip(*parts, strict=True))
    return vectors, tables, means


@torch.inference_mode()
def texts(films: Films, numbers: npt.NDArray[np.int64]) -> dict[str, Floats]:
    """The records [Q, ...] of a text about each of those films, by tensor."""
    made = []
    for number in numbers.tolist():
        values = np.random.default_rng([_SEED, number, _TEXT])
        film = frames(films, number, 1)[0]
        about = film[values.integers(SHAPE.frames)] if films == "moments" else film.mean(0)
        made.append(about + _SIZES[films].text * _drawn(values, 1)[0])
    encoded = head().encode_text(torch.from_numpy(np.stack(made)))
    names = [spec.name for spec in text_record(SHAPE)]
    return {name: part.contiguous().numpy() for name, part in zip(names, encoded, strict=True)}


def _group(films: Films, number: int, version: int) -> Floats:
    sizes = _SIZES[films]
    values = np.random.default_rng([_SEED, number, version])
    common, topics, shares = _topics()
    topic = topics[values.choice(_TOPICS, _GROUP, p=shares)]
    film = common + sizes.topic * topic + sizes.film * _drawn(values, _GROUP)
    shots = film[:, None] + sizes.shot * _drawn(values, _GROUP * _SHOTS).reshape(_GROUP, _SHOTS, -1)
    cuts = np.sort(values.integers(0, SHAPE.frames, (_GROUP, _SHOTS - 1)), axis=1)
    which = (np.arange(SHAPE.frames)[None, :, None] >= cuts[:, None]).sum(-1)
    made = np.take_along_axis(shots, which[..., None], 1)
    made += sizes.frame * _drawn(values, _GROUP * SHAPE.frames).reshape(_GROUP, SHAPE.frames, -1)
    return made


def _drawn(values: np.random.Generator, count: int) -> Floats:
    """Directions float32 [count, D] of length 1 or so, most of it in few dimensions."""
    return values.standard_normal((count, SHAPE.width), np.float32) * _spectrum()


@cache
def _spectrum() -> Floats:
    falling = (1.0 + np.arange(SHAPE.width)) ** -0.5
    return (falling / np.linalg.norm(falling)).astype(np.float32)


@cache
def _topics() -> tuple[Floats, Floats, npt.NDArray[np.float64]]:
    """What all have in common [D], the topics [T, D], and their shares of all films, as Zipf has them [T]."""
    values = np.random.default_rng(_SEED)
    shares = 1.0 / (1 + np.arange(_TOPICS))
    return _drawn(values, 1)[0], _drawn(values, _TOPICS), shares / shares.sum()
