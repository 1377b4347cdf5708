"""Records of as many distinct videos as one likes, made by a bundle's own model in affordable time.

The frames of a few generated clips are shuffled over the videos. Where the vision tower sees each frame by itself it
runs once a frame, and only the rest of the model once a video; elsewhere the whole video encoder runs once a video.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
import torch
from torch import Tensor

from ...export.build import eager_system
from ...export.bundle.ports import FRAMES, MASK, VIDEO_ENCODER
from ...export.bundle.store import Bundle
from ...export.bundle.video.decode import decode
from ...export.systems.clip import ClipSystem
from ...export.systems.contract import System
from . import videos

Record = dict[str, npt.NDArray[np.float32]]
# Which frames make up each video [V, F], and what else the encoder reads, to a batch of records.
Encode = Callable[[npt.NDArray[np.int64], dict[str, npt.NDArray[np.float32]]], Record]

# Distinct frames are these times F; of twelve each, more sequences than anyone draws.
CLIPS = 48
BATCH = 32
# Between the tower run by itself and the exported graph there is float32 rounding.
TOLERANCE = 1e-3


def records(bundle: Bundle, count: int, seed: int = 0) -> Iterator[list[Record]]:
    """The record tensors of ``count`` videos, without a batch dimension, in lists of up to ``BATCH``."""
    frames = clip_frames(bundle, CLIPS, seed)
    rng = np.random.default_rng(seed)
    system = eager_system(bundle)
    split = split_tower(bundle, system, frames, rng)
    encode = whole(bundle, frames) if split is None else split.encode
    for start in range(0, count, BATCH):
        rows = min(BATCH, count - start)
        yield unbatched(encode(*draw(system, len(frames), rows, rng)))


def clip_frames(bundle: Bundle, clips: int, seed: int) -> npt.NDArray[Any]:
    """The frames [clips * F, 3, S, S] of generated clips, sampled and resized as the bundle says."""
    with tempfile.TemporaryDirectory(prefix="framesift-bench-") as folder:
        return np.concatenate(
            [decode(path, bundle.manifest.frames).frames for path in videos.generate(Path(folder), clips, seed)]
        )


def draw(
    system: System, frames: int, rows: int, rng: np.random.Generator
) -> tuple[npt.NDArray[np.int64], dict[str, npt.NDArray[np.float32]]]:
    """Which of ``frames`` frames make up each of ``rows`` videos [rows, F], and what else the video encoder reads."""
    chosen = np.stack([rng.permutation(frames)[: system.frames] for _ in range(rows)])
    more = {
        tensor.name: np.ones((rows, *tensor.shape), np.float32)
        if tensor.name == MASK
        else rng.standard_normal((rows, *tensor.shape), np.float32)
        for tensor in system.video_inputs[1:]
    }
    return chosen, more


class SplitTower:
    """The eager system with its vision tower run once for every frame of ``frames`` [N, 3, S, S].

    Its vision tower then takes frames' numbers for frames; a tower that mixes frames can't be split off, see
    ``split_tower``.
    """

    def __init__(self, system: ClipSystem[Any], frames: npt.NDArray[Any]) -> None:
        self.system = system
        visual = system.clip.visual
        embeddings: list[Tensor] = []
        with torch.no_grad():
            for start in range(0, len(frames), BATCH):
                pixels = visual.standardise(torch.from_numpy(frames[start : start + BATCH]))
                embeddings.append(visual.embed(pixels))
        table = torch.cat(embeddings)
        # Numbers up to 2^24 are exact in float32, and so survive a product with a mask of ones.
        visual.normalise = lambda frames: frames
        visual.embed_clips = lambda pixels: table[pixels[..., 0, 0, 0].long()]

    @torch.no_grad()
    def encode(self, chosen: npt.NDArray[np.int64], more: dict[str, npt.NDArray[np.float32]]) -> Record:
        """Records of the videos made up of the frames ``chosen`` [V, F]."""
        numbers = torch.from_numpy(chosen.astype(np.float32))[..., None, None, None]
        made = self.system.encode_video(numbers, *map(torch.from_numpy, more.values()))
        return {tensor.name: values.numpy() for tensor, values in zip(self.system.video_record, made, strict=True)}


def whole(bundle: Bundle, frames: npt.NDArray[Any]) -> Encode:
    """The bundle's video encoder as it was exported, over videos made up of ``frames``."""
    session = ort.InferenceSession(str(bundle.graph(VIDEO_ENCODER)), providers=["CPUExecutionProvider"])
    names = [port.name for port in session.get_outputs()]

    def encode(chosen: npt.NDArray[np.int64], more: dict[str, npt.NDArray[np.float32]]) -> Record:
        return dict(zip(names, session.run(names, {FRAMES: frames[chosen], **more}), strict=True))

    return encode


def split_tower(
    bundle: Bundle, system: System, frames: npt.NDArray[Any], rng: np.random.Generator
) -> SplitTower | None:
    """The system with its tower split off, if two videos then have the same records as by the exported graph."""
    if not isinstance(system, ClipSystem):
        return None
    inputs = draw(system, len(frames), 2, rng)
    try:
        split = SplitTower(system, frames)
        got = split.encode(*inputs)
    except (RuntimeError, TypeError, ValueError, IndexError):
        # A tower that reads whole clips, or a system that asks more of it than embeddings of frames.
        return None
    want = whole(bundle, frames)(*inputs)
    same = all(
        got[name].shape == values.shape and np.allclose(got[name], values, TOLERANCE, TOLERANCE * abs(values).max())
        for name, values in want.items()
    )
    return split if same else None


def unbatched(batch: Record) -> list[Record]:
    """One record a video."""
    rows = len(next(iter(batch.values())))
    return [{name: values[row] for name, values in batch.items()} for row in range(rows)]
