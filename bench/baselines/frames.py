"""Frame embeddings of as many videos as one likes, for the systems whose published formula reads those."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as nnf

from ...export.bundle.store import Bundle
from ...export.bundle.video.decode import decode
from ...export.corpus.generate import write_corpus
from ...export.systems.contract import System, unit
from ...export.training.evaluate import encode_videos

# Every video is put together from the frames of so many clips.
CLIPS = 48
_BLOCK = 500


def random_frames(clips: int, system: System, generator: torch.Generator) -> Tensor:
    """Frame embeddings [clips, F, D] that resemble one another within a clip, as a video's do."""
    scene = torch.randn(clips, 1, system.embed_dim, generator=generator)
    return scene + 0.5 * torch.randn(clips, system.frames, system.embed_dim, generator=generator)


@torch.no_grad()
def embeddings(pool: Tensor, videos: int, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
    """Videos whose frames are those of the clips in ``pool`` [C, F, D], shuffled and disturbed, block by block.

    Yields:
        Embeddings [B, F, D], and their unit means [B, D].

    An embedding is handed out as LayerNorm 1 without gain and bias leaves it, rounded to float16: its score is the
    same, and a gallery, which keeps just that, keeps these very numbers. So the services can be compared.
    """
    flat = pool.flatten(0, 1)
    noise = 0.1 * flat.std(0)
    for start in range(0, videos, _BLOCK):
        size = (min(_BLOCK, videos - start), pool.shape[1])
        chosen = torch.randint(0, len(flat), size, generator=generator)
        raw = flat[chosen]
        raw = raw + noise * torch.randn(raw.shape, generator=generator)
        yield nnf.layer_norm(raw, raw.shape[-1:]).half().float(), unit(unit(raw).mean(-2))


def encoded_clips(bundle: Bundle, system: System) -> Tensor:
    """Frame embeddings [``CLIPS``, F, D] of generated clips."""
    with tempfile.TemporaryDirectory() as scratch:
        clips = write_corpus(Path(scratch), CLIPS, "test", 0)
        frames = np.stack([decode(clip.video, bundle.manifest.frames).frames for clip in clips])
        return encode_videos(system.published, frames)[0]
