"""Scores and the best of them, as the published formula has them and as framesift computes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import Any

import numpy as np
import onnxruntime as ort
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..export.bundle.ports import SCORER
from ..export.bundle.store import Bundle
from ..export.parity_rows import SWAP_LIMIT
from ..export.systems.contract import System
from ..export.systems.dong2026 import Dong2026
from ..export.systems.factorised import Factorised
from ..kernels.topk_attention import api, cpu, native
from ..kernels.topk_attention.layout import pack_tables
from ..kernels.topk_attention.records import GalleryVectors, TextVectors
from ..serving.agreement import TIE
from .baselines.frames import embeddings, random_frames

SCORE, SCORE_AND_TOP, TOP_N = "score", "score+top-n", "top-n"
SCORING = (SCORE, SCORE_AND_TOP, TOP_N)
TOP = 10
_MOST_TEXTS = 32
# Videos that the published formula scores at a time, and pairs of one call of the scorer's graph.
_BLOCK, _PAIRS = 1000, 1 << 16

Floats = NDArray[Any]
Made = tuple[Mapping[str, Callable[[], Any]], Callable[[Any], str | None]]


class Inputs:
    """Texts and a gallery of random frames, in the records of every engine, with float64's scores.

    The embeddings are rounded so that float16 records hold them exactly (see ``material.embeddings``): what differs is
    arithmetic, not storage.
    """

    def __init__(self, narrow: Factorised, wide: Factorised, videos: int) -> None:
        generator = torch.Generator().manual_seed(0)
        pool = random_frames(64, narrow.model, generator)
        self.text = torch.randn(_MOST_TEXTS, narrow.shape.width, generator=generator)
        self.frames = torch.cat([part for _, part, _ in embeddings(narrow.model, pool, videos, generator)])
        with torch.inference_mode():
            self.vectors = [x.contiguous() for x in narrow.head.encode_text(self.text)]
            parts = [narrow.head.encode_video(some) for some in self.frames.split(_BLOCK)]
            self.streams, self.tables = (torch.cat(part) for part in zip(*parts, strict=True))
            self.expected = formula(wide.model, self.text.double(), self.frames.double()).numpy()
        self.gallery = GalleryVectors(self.streams.half().numpy(), pack_tables(self.tables.numpy()))

    def vectors_of(self, texts: int) -> TextVectors:
        """The text side of the first ``texts`` queries."""
        return TextVectors(*(x[:texts].numpy() for x in self.vectors))


@torch.inference_mode()
def formula(model: Dong2026, text: Tensor, frames: Tensor) -> Tensor:
    """The published formula's scores [Q, V], a block of videos at a time."""
    return torch.cat([model.score(text, some)[0] for some in frames.split(_BLOCK)], dim=1)


_inputs = lru_cache(2)(Inputs)


def score_case(stage: str, narrow: System, wide: System, bundle: Bundle, texts: int, videos: int) -> Made | None:
    """Engines and their check for one stage; None where the system has another scorer."""
    if not (isinstance(narrow, Factorised) and isinstance(wide, Factorised)):
        return None
    given = _inputs(narrow, wide, videos)
    expected = given.expected[:texts]
    if stage == TOP_N:
        scores = torch.from_numpy(expected.astype(np.float32))
        engines = {"torch eager": lambda: _best(scores), "numpy": lambda: _partitioned(scores.numpy())}
        return engines, lambda found: _ranking_fault(found, expected)
    text, vectors = given.text[:texts], given.vectors_of(texts)
    shape, gallery, model = narrow.shape, given.gallery, narrow.model
    implementations: list[cpu.Implementation] = ["numpy"]
    if native.available(shape) is not None:
        implementations.insert(0, "native")
    if stage == SCORE:
        return {
            **{i: partial(cpu.score, vectors, gallery, shape, impl=i) for i in implementations},
            "onnxruntime": _graph(bundle, given, texts),
            "torch eager": lambda: formula(model, text, given.frames).numpy(),
            **_cuda(given, narrow, texts, api.score),
        }, lambda found: _score_fault(found, expected)
    return {
        # One pass, in which scores are never written down: the fused form of both stages.
        **{i: partial(cpu.search, vectors, gallery, shape, TOP, impl=i) for i in implementations},
        "torch eager": lambda: _best(formula(model, text, given.frames)),
        **_cuda(given, narrow, texts, partial(api.search, n=TOP)),
    }, lambda found: _ranking_fault(found, expected)


def _graph(bundle: Bundle, given: Inputs, texts: int) -> Callable[[], Floats]:
    options = ort.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = ort.InferenceSession(str(bundle.graph(SCORER)), options, providers=["CPUExecutionProvider"])
    names = [port.name for port in session.get_inputs()]
    text = [x[:texts].numpy() for x in given.vectors]
    block = _PAIRS // _MOST_TEXTS
    parts = [
        (some.numpy(), table.numpy())
        for some, table in zip(given.streams.split(block), given.tables.split(block), strict=True)
    ]

    def run() -> Floats:
        found = [session.run(None, dict(zip(names, (*text, *part), strict=True)))[0] for part in parts]
        return np.concatenate(found, axis=1)

    return run


def _cuda(given: Inputs, narrow: Factorised, texts: int, call: Callable[..., Any]) -> dict[str, Callable[[], Any]]:
    """The fused Triton kernels, where there is a GPU: the gallery lies there, results come back."""
    if not torch.cuda.is_available():
        return {}
    vectors = [x[:texts].cuda() for x in given.vectors]
    frames, tables = torch.from_numpy(given.gallery.frames).cuda(), torch.from_numpy(given.gallery.tables).cuda()
    shape = narrow.shape

    def run() -> Any:
        found = call(*vectors, frames, tables, top_k=shape.top_k, heads=shape.heads, check_gallery=False)
        return found.cpu().numpy() if isinstance(found, Tensor) else tuple(x.cpu().numpy() for x in found)

    return {"Triton kernel, CUDA": run}


def _best(scores: Tensor) -> tuple[Floats, Floats]:
    found = scores.topk(TOP)
    return found.values.numpy(), found.indices.numpy()


def _partitioned(scores: Floats) -> tuple[Floats, Floats]:
    rows = np.argpartition(-scores, TOP, axis=1)[:, :TOP]
    best = np.take_along_axis(scores, rows, 1)
    order = np.argsort(-best, axis=1)
    return np.take_along_axis(best, order, 1), np.take_along_axis(rows, order, 1)


def _score_fault(found: Floats, expected: Floats) -> str | None:
    """Pairs whose score is off by more than a tie must be as few as where rounding turned two equal logits."""
    off = np.abs(found - expected)
    share = float(np.mean(~(off <= TIE)))
    return (
        None if share <= SWAP_LIMIT else f"{share:.2%} of the scores differ by more than {TIE:g}, up to {off.max():.1e}"
    )


def _ranking_fault(found: tuple[Floats, Floats], expected: Floats) -> str | None:
    scores, rows = found
    best = -np.sort(-expected, axis=1)[:, :TOP]
    mine = np.take_along_axis(expected, rows, 1)
    worst = float(max(np.abs(mine - best).max(), np.abs(scores - mine).max()))
    return None if worst <= TIE else f"the ten best differ from float64's by up to {worst:.1e}, {TIE:g} is allowed"
