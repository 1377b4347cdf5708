"""Galleries of the attention scorer in memory: films of topics, films of unrelated frames, and texts about them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import torch

from framesift.export.bundle.manifest import Manifest
from framesift.export.bundle.ports import FRAME_VECTORS, GRAM_TABLE, LOGIT_VECTOR, READOUT_VECTOR, TEXT_SCALARS
from framesift.export.bundle.storages import BIASES
from framesift.kernels.topk_attention.factorised import FactorisedHead
from framesift.kernels.topk_attention.layout import pack_tables
from framesift.kernels.topk_attention.reference import TopKAttention
from framesift.serving.search.view import View

Films = Literal["clusters", "unrelated"]
WIDTH, FRAMES, TOP_K = 64, 5, 2


def head() -> FactorisedHead:
    """Of one checkpoint, always the same."""
    torch.manual_seed(0)
    made = TopKAttention(WIDTH, top_k=TOP_K)
    for parameter in made.parameters():
        parameter.data += 0.02 * torch.randn_like(parameter)
    return FactorisedHead(made, FRAMES)


def biased(manifest: Manifest) -> Manifest:
    """A manifest that tells what int8 storage has to know of the head."""
    return replace(manifest, options={**manifest.options, BIASES: [float(value) for value in head().biases]})


@torch.no_grad()
def films(kind: Films, count: int, seed: int = 0) -> torch.Tensor:
    """Frame embeddings [count, F, D]: of one of 40 topics, or each frame of a film by itself."""
    values = torch.Generator().manual_seed(seed)
    common = torch.randn(WIDTH, generator=torch.Generator().manual_seed(7))
    if kind == "unrelated":
        return common + torch.randn(count, FRAMES, WIDTH, generator=values)
    topics = torch.randn(40, WIDTH, generator=torch.Generator().manual_seed(8))
    film = topics[torch.randint(40, (count, 1), generator=values)] + 0.6 * torch.randn(
        count, 1, WIDTH, generator=values
    )
    return common + film + 0.15 * torch.randn(count, FRAMES, WIDTH, generator=values)


@torch.no_grad()
def view_of(frames: torch.Tensor, dead: tuple[int, ...] = ()) -> View:
    """The films as a search reads them."""
    vectors, tables = head().encode_video(frames)
    count = len(frames)
    tensors = {FRAME_VECTORS: vectors.numpy().astype(np.float16), GRAM_TABLE: pack_tables(tables.numpy())}
    return View(
        version=3,
        count=count - len(dead),
        ids=[f"v{number}" for number in range(count)],
        tensors=tensors,
        timestamps=np.zeros((count, FRAMES), np.float32),
        dead=np.array(dead, np.intp),
        numbers=np.arange(count),
    )


def cut(view: View, counts: Sequence[int]) -> View:
    """The same rows as segments of films of so many each."""
    segments = np.concatenate([np.arange(count) for count in counts]).astype(np.int32)
    ids = [f"f{film}" for film, count in enumerate(counts) for _ in range(count)]
    return replace(view, ids=ids, segments=segments, counts=np.repeat(counts, counts).astype(np.int32))


@torch.no_grad()
def texts_of(frames: torch.Tensor, numbers: list[int], seed: int = 0) -> dict[str, np.ndarray]:
    """The records of a text about one frame of each of these films."""
    values = torch.Generator().manual_seed(100 + seed)
    about = frames[numbers, torch.randint(FRAMES, (len(numbers),), generator=values)]
    encoded = head().encode_text(about + 0.5 * torch.randn(len(numbers), WIDTH, generator=values))
    names = (LOGIT_VECTOR, READOUT_VECTOR, TEXT_SCALARS)
    return {name: part.contiguous().numpy() for name, part in zip(names, encoded, strict=True)}
