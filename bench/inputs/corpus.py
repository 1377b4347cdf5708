"""What all services search in: the same videos, the queries, and a gallery of framesift."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...export.build import eager_system
from ...export.bundle.ports import FRAME_EMBEDDINGS, FRAME_MASK, MEAN_EMBEDDING, VIDEO_EMBEDDING
from ...export.bundle.store import Bundle
from .gallery import video_id, write
from .published import Published
from .queries import captions
from .videos import Arrays, videos

Floats = NDArray[np.float32]

_FORMAT = 5
_NOTE, _MEANS, _GALLERY = "corpus.json", "means.npy", "gallery"
_QUERIES = 2000


@dataclass(frozen=True)
class Corpus:
    """A folder of videos of one bundle.

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
    def open(root: Path) -> Corpus:
        """Read what ``prepare`` wrote."""
        note = json.loads((root / _NOTE).read_text(encoding="utf-8"))
        return Corpus(root, Bundle.open(note["bundle"]), np.load(root / _MEANS), note["queries"])


def prepare(bundle: Bundle, size: int, root: Path, *, drawn: bool, report: Callable[[str], None]) -> Corpus:
    """Make the corpus in ``root``, or find what an earlier call made there of the same model and size.

    Args:
        drawn: as in ``videos``.
    """
    key = {
        "format": _FORMAT,
        "fingerprint": bundle.manifest.fingerprint,
        "bundle": str(bundle.root.absolute()),
        "videos": size,
        "drawn": drawn,
    }
    note = root / _NOTE
    if note.is_file() and key.items() <= json.loads(note.read_text(encoding="utf-8")).items():
        return Corpus.open(root)
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    report(f"making a gallery of {size} videos in {root}")
    _make(bundle, size, root, drawn)
    # Written last: what was interrupted has none and is made again.
    note.write_text(json.dumps({**key, "queries": captions(_QUERIES)}), encoding="utf-8")
    return Corpus.open(root)


def _make(bundle: Bundle, size: int, root: Path, drawn: bool) -> None:
    read: dict[str, list[Floats]] = {}
    means: list[Floats] = []

    def records() -> Iterator[Arrays]:
        for some in videos(bundle, eager_system(bundle).eval(), size, drawn=drawn):
            for name, values in some.reads.items():
                read.setdefault(name, []).append(values)
            means.append(_unit_means(some.record))
            yield some.record

    write(bundle, root / _GALLERY, records())
    for name, parts in read.items():
        np.save(root / f"{name}.npy", np.concatenate(parts))
    np.save(root / _MEANS, np.concatenate(means))


def _unit_means(record: Arrays) -> Floats:
    """One unit vector [B, D] a video: what a service would keep that has one vector a video."""
    if MEAN_EMBEDDING in record:
        mean = record[MEAN_EMBEDDING]
    elif VIDEO_EMBEDDING in record:
        mean = record[VIDEO_EMBEDDING]
    else:
        frames = record[FRAME_EMBEDDINGS]
        weights = record.get(FRAME_MASK, np.ones(frames.shape[:2], np.float32))
        mean = np.einsum("bf,bfd->bd", weights, frames)
    unit: Floats = mean / np.linalg.norm(mean, axis=1, keepdims=True)
    return unit
