"""The compiled scans on one CPU thread, in process CPU time, D = 512, F = 12, W = 32, from float16.

First the scorers of plain vectors, one text over 10,000 videos and 32 over 2,000: the exported graph, which is the
baseline, the scan, and its floor, the larger of reading the records once and of the bare product of words and frames.
Then 5,000 random
rows of a gallery of top-K attention: reading so many bytes in one run is the baseline.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from framesift.export.bundle.ports import FRAME_EMBEDDINGS, FRAME_MASK, SCORER, VIDEO_EMBEDDING, graph_ports
from framesift.export.bundle.scorer_card import Sizes
from framesift.export.bundle.scorers import SCORERS
from framesift.export.bundle.spec import TensorSpec
from framesift.export.onnx import write_graph
from framesift.kernels.dot import cpu as dot_cpu
from framesift.kernels.dot.reference import dot
from framesift.kernels.frame_softmax import cpu as frame_softmax_cpu
from framesift.kernels.frame_softmax.reference import frame_softmax
from framesift.kernels.multi_grained import cpu as multi_grained_cpu
from framesift.kernels.multi_grained.reference import Matrices, TextRecord, VideoRecord, multi_grained
from framesift.kernels.pairs import PairsScan, available
from framesift.kernels.token_frame import cpu as token_frame_cpu
from framesift.kernels.token_frame.reference import TAU, token_frame
from framesift.kernels.topk_attention import cpu
from framesift.kernels.topk_attention.layout import HeadShape
from framesift.kernels.topk_attention.operands import GalleryVectors, TextVectors
from framesift.serving.search.onnx_scorer import OnnxScorer
from framesift.serving.search.ranking import GraphRanker, best
from framesift.serving.search.view import View

WIDTH, FRAMES, WORDS, VIDEOS, TOP = 512, 12, 32, 10_000, 10
# Texts at once, and over how many of the videos.
SIZES = {1: VIDEOS, 32: 2_000}
GALLERY, LISTED = 100_000, 5_000
NAMES = ("dot", "frame_softmax", "token_frame", "multi_grained")
pytestmark = pytest.mark.benchmark(timer=time.process_time)
Array = NDArray[Any]


class Graph(nn.Module):
    """A scorer's reference, with the matrices that it may have."""

    def __init__(self, name: str, matrices: list[Array]) -> None:
        super().__init__()
        self.name = name
        self.matrices = nn.ParameterList(map(torch.from_numpy, matrices))

    def forward(self, *records: Tensor) -> tuple[Tensor]:
        """Scores of texts and videos, which come one behind the other."""
        if self.name == "dot":
            return (dot(*records),)
        if self.name == "frame_softmax":
            return (frame_softmax(*records),)
        if self.name == "token_frame":
            return (token_frame(records[0], records[1]),)
        text, video = TextRecord(*records[:4]), VideoRecord(*records[4:])
        return (multi_grained(text, video, Matrices(*self.matrices), torch.tensor(100.0)),)


class Records:
    """Texts and videos of all four scorers, and each one's scan and graph."""

    def __init__(self, folder: Path) -> None:
        torch.set_num_threads(1)
        rng = np.random.default_rng(0)

        def unit(*shape: int) -> Array:
            x = rng.standard_normal((*shape, WIDTH), np.float32) + 2 * rng.standard_normal(WIDTH, np.float32)
            unit: Array = x / np.linalg.norm(x, axis=-1, keepdims=True)
            return unit

        self._folder = folder
        sizes = (WORDS, FRAMES, WORDS, FRAMES, FRAMES, WORDS)
        self._matrices = [np.eye(n, dtype=np.float32) + rng.standard_normal((n, n), np.float32) / n for n in sizes]
        sentence, words = unit(max(SIZES)), unit(max(SIZES), WORDS)
        short = words * (np.arange(WORDS) < WORDS - 7)[:, None].astype(np.float32)
        frames, video = unit(VIDEOS, FRAMES).astype(np.float16), unit(VIDEOS).astype(np.float16)
        mask = np.ones((VIDEOS, FRAMES), np.float16)
        self._text = {
            "dot": {"a": sentence},
            "frame_softmax": {"a": 100 * sentence},
            "token_frame": {"a": short},
            "multi_grained": {"a": sentence, "b": sentence, "c": words, "d": words},
        }
        self._videos = {
            "dot": {VIDEO_EMBEDDING: video},
            "frame_softmax": {FRAME_EMBEDDINGS: frames, FRAME_MASK: mask},
            "token_frame": {FRAME_EMBEDDINGS: frames},
            "multi_grained": {VIDEO_EMBEDDING: video, FRAME_EMBEDDINGS: frames},
        }

    def text(self, name: str, texts: int) -> dict[str, Array]:
        """So many texts of a scorer."""
        return {key: array[:texts] for key, array in self._text[name].items()}

    def videos(self, name: str, texts: int) -> dict[str, Array]:
        """The videos that they are searched in."""
        return {key: array[: SIZES[texts]] for key, array in self._videos[name].items()}

    def scan(self, name: str, texts: int) -> PairsScan:
        """The compiled scan."""
        text, videos = list(self.text(name, texts).values()), list(self.videos(name, texts).values())
        if name == "dot":
            return dot_cpu.scan(text[0], videos[0])
        if name == "frame_softmax":
            return frame_softmax_cpu.scan(text[0], videos[0], videos[1])
        if name == "token_frame":
            return token_frame_cpu.scan(text[0], videos[0], TAU)
        a, b, c, d, e, f = self._matrices
        weights = multi_grained_cpu.Weights(a, b, c, d, e, f, scale=100.0)
        return multi_grained_cpu.scan(multi_grained_cpu.Texts(*text), videos[0], videos[1], weights)

    def graph(self, name: str) -> GraphRanker:
        """The exported graph, block by block as it would be served."""
        text, videos = self._text[name], self._videos[name]

        def specs(arrays: dict[str, Array]) -> list[TensorSpec]:
            return [TensorSpec(key, "float32", array.shape[1:]) for key, array in arrays.items()]

        ports = graph_ports([TensorSpec("frames", "float32", (FRAMES,))], specs(text), specs(videos))[SCORER]
        example = tuple(torch.randn(3 + 2 * (port.name in videos), *port.shape[1:]) for port in ports.inputs)
        path = self._folder / f"{name}.onnx"
        write_graph(Graph(name, self._matrices).eval(), example, ports, path)
        return GraphRanker(OnnxScorer(path, 1), SCORERS[name].pair_floats(Sizes(FRAMES, WORDS, WIDTH)))

    def view(self, name: str, texts: int) -> View:
        """The videos as a search reads them."""
        count, videos = SIZES[texts], self.videos(name, texts)
        return View(1, count, [], videos, np.zeros((count, FRAMES), np.float32), np.empty(0, np.intp))


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Records:
    return Records(tmp_path_factory.mktemp("graphs"))


def group(name: str, texts: int) -> str:
    return f"{name}, texts: {texts}, videos: {SIZES[texts]:,}"


@pytest.mark.parametrize("texts", SIZES)
@pytest.mark.parametrize("name", NAMES)
def bench_scan(name: str, texts: int, records: Records, benchmark: Any, compared: Callable[..., None]) -> None:
    library, scan, graph, view = (
        available(WIDTH),
        records.scan(name, texts),
        records.graph(name),
        records.view(name, texts),
    )
    assert library is not None
    want = graph.scores(view, records.text(name, texts), texts)
    scores, rows = scan.search(library, TOP, threads=1)
    for q in range(texts):
        np.testing.assert_allclose(scores[q], want[q, best(want[q], TOP)], atol=1e-4 * np.abs(want).max())
        np.testing.assert_allclose(want[q, rows[q]], want[q, best(want[q], TOP)], atol=1e-4 * np.abs(want).max())
    compared(benchmark, group=group(name, texts), case="framesift", baseline="graph")
    benchmark.pedantic(scan.search, (library, TOP), {"threads": 1}, rounds=61 if texts == 1 else 21, warmup_rounds=2)


@pytest.mark.parametrize("texts", SIZES)
@pytest.mark.parametrize("name", NAMES)
def bench_graph(name: str, texts: int, records: Records, benchmark: Any, compared: Callable[..., None]) -> None:
    compared(benchmark, group=group(name, texts), case="graph", baseline="graph")
    call = (records.view(name, texts), records.text(name, texts), [TOP] * texts)
    benchmark.pedantic(records.graph(name).rank, call, rounds=7, warmup_rounds=1)


@pytest.mark.parametrize("name", NAMES)
def bench_read(name: str, records: Records, benchmark: Any, compared: Callable[..., None]) -> None:
    compared(benchmark, group=group(name, 1), case="reading float16 once", baseline="graph")
    benchmark.pedantic(_read, tuple(records.videos(name, 1).values()), rounds=61, warmup_rounds=2)


@pytest.mark.parametrize("texts", SIZES)
@pytest.mark.parametrize("name", NAMES[2:])
def bench_product(name: str, texts: int, records: Records, benchmark: Any, compared: Callable[..., None]) -> None:
    compared(benchmark, group=group(name, texts), case="bare product", baseline="graph")
    frames = torch.from_numpy(records.videos(name, texts)[FRAME_EMBEDDINGS].reshape(-1, WIDTH)).float()
    words = torch.randn(texts * WORDS, WIDTH)
    benchmark.pedantic(lambda: frames @ words.T, rounds=21 if texts == 1 else 7, warmup_rounds=2)


@pytest.fixture(scope="module")
def gallery() -> GalleryVectors:
    shape = HeadShape(FRAMES, WIDTH, 4)
    rng = np.random.default_rng(0)
    frames = np.empty((GALLERY, 1, FRAMES, WIDTH), np.float16)
    frames[:] = rng.standard_normal((1, 1, FRAMES, WIDTH))
    return GalleryVectors(frames, np.ones((-(-GALLERY // 16), shape.rows, 16), np.float32))


@pytest.mark.parametrize("texts", [1, 32])
@pytest.mark.parametrize("case", ["reading their bytes", "rows", "a mask", "a copy of the rows"])
def bench_rows(case: str, texts: int, gallery: GalleryVectors, benchmark: Any, compared: Callable[..., None]) -> None:
    compared(benchmark, group=f"5,000 of 100,000 videos, texts: {texts}", case=case, baseline="reading their bytes")
    rng, shape = np.random.default_rng(), HeadShape(FRAMES, WIDTH, 4)
    text = TextVectors(*(rng.standard_normal((texts, n), np.float32) for n in (WIDTH, WIDTH, 4)))

    def drawn() -> Array:
        return np.sort(rng.choice(GALLERY, LISTED, replace=False))

    def run(rows: Array) -> None:
        if case == "reading their bytes":
            start = int(rows[0]) % (GALLERY // 2)
            _read(gallery.frames[start : start + LISTED], gallery.tables[start // 16 : (start + LISTED) // 16])
        elif case == "rows":
            cpu.search(text, gallery, shape, TOP, rows=rows, threads=1)
        elif case == "a mask":
            live = np.zeros(GALLERY, np.bool_)
            live[rows] = True
            cpu.search(text, gallery, shape, TOP, live=live, threads=1)
        else:
            tables = gallery.tables[np.unique(rows // 16)[: -(-LISTED // 16)]]
            cpu.search(text, GalleryVectors(gallery.frames[rows], tables), shape, TOP, threads=1)

    benchmark.pedantic(run, setup=lambda: ((drawn(),), {}), rounds=21, warmup_rounds=2)


def _read(*arrays: Array) -> None:
    library = available(WIDTH)
    assert library is not None
    for array in arrays:
        library.framesift_read(array.ctypes.data, array.nbytes // 4)
