"""Scoring by text-conditioned attention: the published formula, the exported graph, and framesift's own scans."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import onnxruntime as ort
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..export.bundle.ports import FRAME_EMBEDDINGS, SCORER
from ..export.bundle.store import Bundle
from ..kernels.topk_attention import api, cpu, native
from ..kernels.topk_attention.layout import pack_tables
from ..kernels.topk_attention.operands import GalleryVectors, TextVectors
from ..serving.search.topk_ranking import TopKRanker
from .baselines.frames import embeddings, random_frames
from .published import BLOCK, Published

# Texts of the largest case, and pairs of one call of the scorer's graph.
MOST_TEXTS = 32
_PAIRS = 1 << 16

Engines = dict[str, Callable[[], Any]]


class Attended:
    """Texts and a gallery of random frames, in the records of every engine, with float64's scores.

    The embeddings are rounded so that float16 records hold them exactly (see ``frames.embeddings``): what differs is
    arithmetic, not storage.
    """

    def __init__(self, narrow: Published, wide: Published, bundle: Bundle, videos: int) -> None:
        system = narrow.system
        generator = torch.Generator().manual_seed(0)
        pool = random_frames(64, system, generator)
        text = torch.randn(MOST_TEXTS, system.embed_dim, generator=generator)
        frames = torch.cat([part for part, _ in embeddings(pool, videos, generator)])
        with torch.inference_mode():
            self._vectors = [x.contiguous() for x in system.reduce_text((text,))]
            parts = [system.reduce_video((some,)) for some in frames.split(BLOCK)]
            self._streams, self._tables = (torch.cat(part) for part in zip(*parts, strict=True))
        self._expected = wide.scores((text.double(),), {FRAME_EMBEDDINGS: frames.double()}).numpy()
        self._gallery = GalleryVectors(self._streams.half().numpy(), pack_tables(self._tables.numpy()))
        self._narrow, self._bundle, self._shape = narrow, bundle, TopKRanker(bundle.manifest).shape
        self._text, self._frames = text, frames

    def expected(self, texts: int) -> NDArray[Any]:
        """Float64's scores [Q, V] of the first ``texts`` queries."""
        return self._expected[:texts]

    def scores(self, texts: int) -> Engines:
        """Engines that return scores [Q, V]."""
        vectors, shape = self._text_vectors(texts), self._shape
        return {
            **{i: partial(cpu.score, vectors, self._gallery, shape, impl=i) for i in self._implementations()},
            "onnxruntime": self._graph(texts),
            "torch eager": lambda: self._formula(texts).numpy(),
            **self._cuda(texts, api.score),
        }

    def best(self, texts: int, top: int) -> Engines:
        """Engines that return scores and rows [Q, top]: one pass, in which scores are never written down."""
        vectors, shape = self._text_vectors(texts), self._shape
        return {
            **{i: partial(cpu.search, vectors, self._gallery, shape, top, impl=i) for i in self._implementations()},
            "torch eager": lambda: best_of(self._formula(texts), top),
            **self._cuda(texts, partial(api.search, n=top)),
        }

    def _formula(self, texts: int) -> Tensor:
        return self._narrow.scores((self._text[:texts],), {FRAME_EMBEDDINGS: self._frames})

    def _text_vectors(self, texts: int) -> TextVectors:
        return TextVectors(*(x[:texts].numpy() for x in self._vectors))

    def _implementations(self) -> list[cpu.Implementation]:
        return ["numpy"] if native.available(self._shape) is None else ["native", "numpy"]

    def _graph(self, texts: int) -> Callable[[], NDArray[Any]]:
        options = ort.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        path = str(self._bundle.graph(SCORER))
        session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        names = [port.name for port in session.get_inputs()]
        text = [x[:texts].numpy() for x in self._vectors]
        block = _PAIRS // MOST_TEXTS
        parts = [
            (some.numpy(), table.numpy())
            for some, table in zip(self._streams.split(block), self._tables.split(block), strict=True)
        ]

        def run() -> NDArray[Any]:
            found = [session.run(None, dict(zip(names, (*text, *part), strict=True)))[0] for part in parts]
            return np.concatenate(found, axis=1)

        return run

    def _cuda(self, texts: int, call: Callable[..., Any]) -> Engines:
        """The fused Triton kernels, where there is a GPU: the gallery lies there, results come back."""
        if not torch.cuda.is_available():
            return {}
        vectors = [x[:texts].cuda() for x in self._vectors]
        frames = torch.from_numpy(self._gallery.frames).cuda()
        tables = torch.from_numpy(self._gallery.tables).cuda()
        shape = self._shape

        def run() -> Any:
            found = call(*vectors, frames, tables, top_k=shape.top_k, heads=shape.heads, check_gallery=False)
            return found.cpu().numpy() if isinstance(found, Tensor) else tuple(x.cpu().numpy() for x in found)

        return {"Triton kernel, CUDA": run}


def best_of(scores: Tensor, top: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Scores and rows of the ``top`` best of each query, by PyTorch."""
    found = scores.topk(top)
    return found.values.numpy(), found.indices.numpy()
