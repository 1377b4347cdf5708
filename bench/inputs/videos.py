"""Videos of a model, as many as one likes, in affordable time: what a gallery keeps of each and what its formula reads.

A few generated clips are encoded by the model itself; the videos are disturbed copies of those.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as nnf

from ...export.bundle.ports import FRAMES, MASK, MASKS
from ...export.bundle.store import Bundle
from ...export.bundle.video.decode import decode
from ...export.systems.contract import Record, System, unit
from ...export.training.evaluate import as_stored, encode_videos
from . import clips

Arrays = Mapping[str, NDArray[Any]]

# A commit costs the same for one video as for thousands, and holds all of its own in memory.
BLOCK = 1000
_NOISE = 0.05


@dataclass(frozen=True)
class Videos:
    """Some videos [B, ...] by the tensors' names: what the published formula ``reads``, and the ``record`` of each."""

    reads: Arrays
    record: Arrays


@torch.no_grad()
def videos(
    bundle: Bundle, system: System, count: int, *, drawn: bool = False, rounded: bool = True, seed: int = 0
) -> Iterator[Videos]:
    """``count`` videos, block by block.

    Args:
        system: the bundle's.
        rounded: to what a gallery keeps, so that services which read it and others are told apart by arithmetic alone.
        drawn: where the formula reads other tensors than a gallery keeps, they are drawn instead of made from clips: of
            towers with random weights all frames come out alike, and one of ViT-B/32's size takes a second a clip on a
            CPU.
    """
    generator = torch.Generator().manual_seed(seed)
    authors = system.published
    if authors is system:
        pool = encode_videos(system, *_inputs(bundle, system, generator))
    else:
        frames = _drawn(system, generator) if drawn else encode_videos(authors, *_inputs(bundle, system, generator))[0]
    for start in range(0, count, BLOCK):
        size = min(BLOCK, count - start)
        if authors is system:
            record = reads = _disturbed(system, pool, size, rounded, generator)
        else:
            reads = _shuffled(frames, size, rounded, generator)
            record = system.reduce_video(reads)
        yield Videos(_named(authors, reads), _named(system, record))


def _disturbed(system: System, pool: Record, size: int, rounded: bool, generator: torch.Generator) -> Record:
    """Records of clips, each number a little off, and every vector as long as it was: some scorers ask for that."""
    chosen = torch.randint(clips.COUNT, (size,), generator=generator)
    record = []
    for tensor, values in zip(system.video_record, pool, strict=True):
        some = values[chosen]
        off = some * (1 + _NOISE * torch.randn(some.shape, generator=generator))
        lengths = some.norm(dim=-1, keepdim=True) / off.norm(dim=-1, keepdim=True).clamp_min(1e-12)
        record.append(some if tensor.name in MASKS else off * lengths)
    return as_stored(system, record) if rounded else tuple(record)


def _shuffled(pool: Tensor, size: int, rounded: bool, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Frame embeddings [B, F, D] of clips [C, F, D], shuffled and disturbed, and their unit means [B, D].

    An embedding is handed out as a LayerNorm without gain and bias leaves it: its score is the same, and a gallery
    keeps just that.
    """
    flat = pool.flatten(0, 1)
    raw = flat[torch.randint(len(flat), (size, pool.shape[1]), generator=generator)]
    raw = raw + 2 * _NOISE * flat.std(0) * torch.randn(raw.shape, generator=generator)
    normed = nnf.layer_norm(raw, raw.shape[-1:])
    return normed.half().float() if rounded else normed, unit(unit(raw).mean(-2))


def _drawn(system: System, generator: torch.Generator) -> Tensor:
    """Frame embeddings [clips, F, D] that resemble one another within a clip, as a video's do."""
    scene = torch.randn(clips.COUNT, 1, system.embed_dim, generator=generator)
    return scene + 0.5 * torch.randn(clips.COUNT, system.frames, system.embed_dim, generator=generator)


def _inputs(bundle: Bundle, system: System, generator: torch.Generator) -> list[NDArray[Any]]:
    """Generated films [clips, ...], whole, with noise where it is read, and random feature files: ``video_inputs``."""
    features = {} if system.features is None else system.random_features(clips.COUNT, generator)
    made = []
    for tensor in system.video_inputs:
        size = (clips.COUNT, *tensor.shape)
        if tensor.name in features:
            made.append(features[tensor.name].numpy())
        elif tensor.name == FRAMES:
            made.append(_pixels(bundle))
        elif tensor.name == MASK:
            made.append(np.ones(size, np.float32))
        else:
            made.append(torch.randn(size, generator=generator).numpy())
    return made


def _pixels(bundle: Bundle) -> NDArray[Any]:
    """The frames [clips, F, 3, S, S] of generated clips, sampled and resized as the bundle says."""
    with tempfile.TemporaryDirectory(prefix="framesift-bench-") as folder:
        return np.stack([decode(path, bundle.manifest.pictures).frames for path in clips.generate(Path(folder))])


def _named(system: System, record: Record) -> dict[str, NDArray[Any]]:
    return {tensor.name: values.numpy() for tensor, values in zip(system.video_record, record, strict=True)}
