"""What all services search in: the same videos' frame embeddings, the queries, and a gallery of framesift."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as nnf

from ...export.build import eager_model
from ...export.bundle.ports import VIDEO_ENCODER
from ...export.bundle.store import Bundle
from ...export.bundle.video import decode
from ...export.corpus.generate import KINDS, stories, write_corpus
from ...export.systems.dong2026 import Dong2026
from ...export.training.evaluate import encode_frames
from ...kernels.topk_attention.factorised import FactorisedHead
from ...serving.gallery.layout import GalleryRecord
from ...serving.gallery.store import Gallery

Floats = NDArray[np.float32]

_FORMAT = 1
_NOTE, _FRAMES, _MEANS, _GALLERY = "material.json", "frames.npy", "means.npy", "gallery"
# Every video of a gallery is put together from the frames of so many clips.
_CLIPS = 48
_QUERIES = 2000
_BLOCK = 500


@dataclass(frozen=True)
class Material:
    """A folder of material.

    ``frames`` float32 [N, F, D] are the embeddings that the published formula scores, ``means`` float32 [N, D] unit
    means of the raw ones (CLIP4Clip's meanP), ``gallery`` is the folder of a gallery with the same N videos under
    ``ids``, in that order.
    """

    root: Path
    bundle: Bundle
    frames: Floats
    means: Floats
    queries: list[str]

    @property
    def ids(self) -> list[str]:
        """The videos' names, as the gallery has them."""
        return [video_id(row) for row in range(len(self.frames))]

    @property
    def gallery(self) -> Path:
        """The gallery's folder."""
        return self.root / _GALLERY

    @staticmethod
    def open(root: Path) -> Material:
        """Read what ``prepare`` wrote."""
        note = json.loads((root / _NOTE).read_text(encoding="utf-8"))
        frames, means = (np.load(root / name, mmap_mode="r") for name in (_FRAMES, _MEANS))
        return Material(root, Bundle.open(note["bundle"]), frames, means, note["queries"])


def prepare(bundle: Bundle, videos: int, root: Path, *, random: bool, report: Callable[[str], None]) -> Material:
    """Make the material in ``root``, or find what an earlier call made there of the same model and size.

    Args:
        random: frame embeddings are drawn instead of made from clips: of towers with random weights all frames come out
            alike, and a tower of ViT-B/32's size takes a second a clip on a CPU.
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
    model = eager_model(bundle).eval()
    generator = torch.Generator().manual_seed(0)
    width = model.config.clip.embed_dim
    pool = random_frames(_CLIPS, model, generator) if random else _encoded_clips(bundle, model)
    frames, means = np.empty((videos, model.config.frames, width), np.float32), np.empty((videos, width), np.float32)
    for part, embedded, mean in embeddings(model, pool, videos, generator):
        frames[part], means[part] = embedded.numpy(), mean.numpy()
    np.save(root / _FRAMES, frames)
    np.save(root / _MEANS, means)
    _fill(root / _GALLERY, bundle, model, frames, means)
    # Written last: what was interrupted has none and is made again.
    note.write_text(json.dumps({**key, "queries": queries(_QUERIES)}), encoding="utf-8")
    return Material.open(root)


def video_id(row: int) -> str:
    """The name of a video of the material."""
    return f"video-{row:06d}.mp4"


def queries(count: int) -> list[str]:
    """``count`` distinct captions of the shapes corpus."""
    kind = KINDS["motion"]
    return [kind.tell(story) for story in stories(kind, count, "train", 7, variants=1)]


def random_frames(clips: int, model: Dong2026, generator: torch.Generator) -> Tensor:
    """Raw frame embeddings [clips, F, D] that resemble one another within a clip, as a video's do."""
    config = model.config
    scene = torch.randn(clips, 1, config.clip.embed_dim, generator=generator)
    return scene + 0.5 * torch.randn(clips, config.frames, config.clip.embed_dim, generator=generator)


@torch.no_grad()
def embeddings(
    model: Dong2026, pool: Tensor, videos: int, generator: torch.Generator
) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """Videos whose frames are those of the clips in ``pool`` [C, F, D], shuffled and disturbed, block by block.

    Yields:
        Which videos, their embeddings [B, F, D] with the temporal encoding applied, and their unit means [B, D].

    An embedding is handed out as LayerNorm 1 without gain and bias leaves it, rounded to float16: its score is the
    same, and a gallery, which keeps just that, keeps these very numbers. So the services can be compared.
    """
    flat = pool.flatten(0, 1)
    noise = 0.1 * flat.std(0)
    for start in range(0, videos, _BLOCK):
        part = slice(start, min(start + _BLOCK, videos))
        chosen = torch.randint(0, len(flat), (part.stop - start, pool.shape[1]), generator=generator)
        raw = flat[chosen]
        raw = raw + noise * torch.randn(raw.shape, generator=generator)
        encoded, mean = model.finish_video(raw)
        normed = nnf.layer_norm(encoded, encoded.shape[-1:], eps=model.pool_frames.layer_norm1.eps)
        yield part, normed.half().float(), mean


def _encoded_clips(bundle: Bundle, model: Dong2026) -> Tensor:
    with tempfile.TemporaryDirectory() as scratch:
        clips = write_corpus(Path(scratch), _CLIPS, "test", 0)
        return encode_frames(model, np.stack([decode(clip.video, bundle.manifest.frames).frames for clip in clips]))


@torch.no_grad()
def _fill(folder: Path, bundle: Bundle, model: Dong2026, frames: Floats, means: Floats) -> None:
    head = FactorisedHead(model.pool_frames, model.config.frames)
    names = [port.name for port in bundle.manifest.graphs[VIDEO_ENCODER].outputs]
    times = np.arange(model.config.frames, dtype=np.float32)
    with Gallery.open(folder, bundle.manifest) as gallery:
        for start in range(0, len(frames), _BLOCK):
            part = slice(start, start + _BLOCK)
            vectors, tables = head.encode_video(torch.from_numpy(frames[part]))
            record: tuple[Floats, ...] = (vectors.numpy(), tables.numpy(), means[part])
            gallery.add(
                [
                    GalleryRecord(
                        video_id(start + i),
                        {name: values[i] for name, values in zip(names, record, strict=True)},
                        times,
                        float(len(times)),
                        (start + i).to_bytes(32, "big"),
                    )
                    for i in range(len(vectors))
                ]
            )
