"""What all services search in: the same videos' records, the queries, and a gallery of framesift."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...export.build import eager_system
from ...export.bundle.ports import FRAME_EMBEDDINGS, FRAME_MASK, MEAN_EMBEDDING, VIDEO_EMBEDDING, VIDEO_ENCODER
from ...export.bundle.store import Bundle
from ...export.corpus.generate import KINDS, stories
from ...export.systems.contract import System
from ..load.gallery import video_id, write
from ..load.records import Record, records, unbatched
from ..published import Published
from .frames import CLIPS, embeddings, encoded_clips, random_frames

Floats = NDArray[np.float32]
Arrays = Mapping[str, Floats]
# What the published formula reads of some videos, what a gallery keeps of them, and their unit means.
Block = tuple[Arrays, Record, Floats]

_FORMAT = 3
_NOTE, _MEANS, _GALLERY = "material.json", "means.npy", "gallery"
_QUERIES = 2000


@dataclass(frozen=True)
class Material:
    """A folder of material.

    ``means`` float32 [N, D] are unit means of the frame embeddings (CLIP4Clip's meanP), or a system's own one embedding
    a video. ``gallery`` is the folder of a gallery with the same N videos under ``ids``, in that order.
    """

    root: Path
    bundle: Bundle
    means: Floats
    queries: list[str]

    def __len__(self) -> int:
        return len(self.means)

    @cached_property
    def published(self) -> Published:
        """The bundle's system in eager PyTorch."""
        return Published(eager_system(self.bundle).eval(), self.bundle.manifest)

    @cached_property
    def videos(self) -> dict[str, Tensor]:
        """What the published formula reads of the videos, float32 [N, ...] by name."""
        return {name: torch.from_numpy(np.load(self.root / f"{name}.npy")) for name in self.published.reads}

    @property
    def ids(self) -> list[str]:
        """The videos' names, as the gallery has them."""
        return [video_id(row) for row in range(len(self))]

    @property
    def gallery(self) -> Path:
        """The gallery's folder."""
        return self.root / _GALLERY

    @staticmethod
    def open(root: Path) -> Material:
        """Read what ``prepare`` wrote."""
        note = json.loads((root / _NOTE).read_text(encoding="utf-8"))
        return Material(root, Bundle.open(note["bundle"]), np.load(root / _MEANS), note["queries"])


def prepare(bundle: Bundle, videos: int, root: Path, *, random: bool, report: Callable[[str], None]) -> Material:
    """Make the material in ``root``, or find what an earlier call made there of the same model and size.

    Args:
        random: frame embeddings are drawn instead of made from clips, where the formula reads those: of towers with
            random weights all frames come out alike, and a tower of ViT-B/32's size takes a second a clip on a CPU.
    """
    key = {
        "format": _FORMAT,
        "fingerprint": bundle.manifest.fingerprint,
        "bundle": str(bundle.root.absolute()),
        "videos": videos,
        "random": random,
    }
    note = root / _NOTE
    if note.is_file() and key.items() <= json.loads(note.read_text(encoding="utf-8")).items():
        return Material.open(root)
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    report(f"making a gallery of {videos} videos in {root}")
    system = eager_system(bundle).eval()
    if system.published is not system:
        blocks = _attended(system, bundle, videos, random=random)
    else:
        blocks = _recorded(system, bundle, videos)
    _write(root, bundle, blocks)
    # Written last: what was interrupted has none and is made again.
    note.write_text(json.dumps({**key, "queries": queries(_QUERIES)}), encoding="utf-8")
    return Material.open(root)


def queries(count: int) -> list[str]:
    """``count`` distinct captions of the shapes corpus."""
    kind = KINDS["motion"]
    return [kind.tell(story) for story in stories(kind, count, "train", 7, variants=1)]


@torch.no_grad()
def _attended(system: System, bundle: Bundle, videos: int, *, random: bool) -> Iterator[Block]:
    generator = torch.Generator().manual_seed(0)
    pool = random_frames(CLIPS, system, generator) if random else encoded_clips(bundle, system)
    names = [port.name for port in bundle.manifest.graphs[VIDEO_ENCODER].outputs]
    for embedded, mean in embeddings(pool, videos, generator):
        record = system.reduce_video((embedded, mean))
        kept = {name: values.numpy() for name, values in zip(names, record, strict=True)}
        yield {FRAME_EMBEDDINGS: embedded.numpy()}, kept, mean.numpy()


def _recorded(system: System, bundle: Bundle, videos: int) -> Iterator[Block]:
    stored = {tensor.name: tensor.stored for tensor in system.video_record}
    for made in records(bundle, videos):
        # Rounded as a gallery keeps it: what differs between services is arithmetic, not storage.
        block = {
            name: np.stack([record[name] for record in made]).astype(kept).astype(np.float32)
            for name, kept in stored.items()
        }
        yield block, block, _unit_means(block)


def _unit_means(block: Arrays) -> Floats:
    """One unit vector [B, D] a video: what a service would keep that has one vector a video."""
    if MEAN_EMBEDDING in block:
        mean = block[MEAN_EMBEDDING]
    elif VIDEO_EMBEDDING in block:
        mean = block[VIDEO_EMBEDDING]
    else:
        frames = block[FRAME_EMBEDDINGS]
        weights = block.get(FRAME_MASK, np.ones(frames.shape[:2], np.float32))
        mean = np.einsum("bf,bfd->bd", weights, frames)
    unit: Floats = mean / np.linalg.norm(mean, axis=1, keepdims=True)
    return unit


def _write(root: Path, bundle: Bundle, blocks: Iterator[Block]) -> None:
    read: dict[str, list[Floats]] = {}
    means: list[Floats] = []

    def kept() -> Iterator[list[Record]]:
        for given, record, mean in blocks:
            for name, values in given.items():
                read.setdefault(name, []).append(values)
            means.append(mean)
            yield unbatched(record)

    write(bundle, root / _GALLERY, kept())
    for name, parts in read.items():
        np.save(root / f"{name}.npy", np.concatenate(parts))
    np.save(root / _MEANS, np.concatenate(means))
