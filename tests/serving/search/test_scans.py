"""Compiled scans in the place of scorer graphs: the same rankings, and the graph where its formula is another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from framesift.export.bundle.errors import BundleError
from framesift.export.bundle.manifest import Manifest
from framesift.export.bundle.onnx_weights import weights
from framesift.export.bundle.ports import MASKS, SCORER, VIDEO_ENCODER
from framesift.export.bundle.scorers import pair_floats
from framesift.export.graphs import graphs, ports
from framesift.export.onnx import write_graph
from framesift.export.systems.examples import small_system
from framesift.kernels import library
from framesift.kernels.device_pairs import ResidentPairs
from framesift.kernels.pairs import PairsScan
from framesift.serving.search.compiled import CompiledRanker
from framesift.serving.search.device_scan import DeviceScanRanker, device_ranker
from framesift.serving.search.onnx_scorer import OnnxScorer
from framesift.serving.search.rankers import ranker_of
from framesift.serving.search.ranking import GraphRanker
from framesift.serving.search.view import View

from ..toy_ports import toy_manifest

# One system of each scorer.
OTHERS = ("ts2net", "mugstan", "clip4clip meanP", "mmt of present experts")
SYSTEMS = ["xclip", *(pytest.param(name, marks=pytest.mark.slow) for name in OTHERS)]
Written = tuple[Manifest, Path]
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
Arrays = dict[str, npt.NDArray[Any]]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Written]:
    """The manifest of a small system, as far as a search reads it, and its scorer's graph."""
    made: dict[str, Written] = {}

    def write(name: str) -> Written:
        if name not in made:
            system = small_system(name)
            promised = ports(system)
            sizes = {"queries": 3, "videos": 5}
            shapes = [[sizes[d] if isinstance(d, str) else d for d in port.dims] for port in promised[SCORER].inputs]
            path = tmp_path_factory.mktemp("graphs") / "scorer.onnx"
            write_graph(graphs(system)[SCORER], tuple(map(torch.randn, shapes)), promised[SCORER], path)
            manifest = toy_manifest(promised[VIDEO_ENCODER].inputs[0].shape[1], 8, 16, scorer=system.scorer.name)
            made[name] = replace(manifest, graphs=promised, options={"tau": getattr(system, "tau", None)}), path
        return made[name]

    return write


def records(manifest: Manifest, videos: int, texts: int) -> tuple[Arrays, Arrays]:
    rng = np.random.default_rng(videos)
    kept = {port.name for port in manifest.graphs[VIDEO_ENCODER].outputs}
    text: Arrays = {}
    video: Arrays = {}
    for port in manifest.graphs[SCORER].inputs:
        held = port.name in kept
        shape = (videos if held else texts, *port.shape[1:])
        values = rng.standard_normal(shape) + rng.standard_normal(shape[-1])
        values /= np.linalg.norm(values, axis=-1, keepdims=True)
        if port.name in MASKS:
            values = np.maximum(rng.random(shape) < 0.6, np.arange(shape[1]) == 0)
        (video if held else text)[port.name] = values.astype(np.float16 if held else np.float32)
    return text, video


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_scan_ranks_as_the_graph_does(name: str, written: Callable[[str], Written]) -> None:
    manifest, path = written(name)
    ranker, read = ranker_of(manifest, path)
    assert isinstance(ranker, CompiledRanker)
    graph = GraphRanker(OnnxScorer(path, 1), pair_floats(manifest))
    text, video = records(manifest, 90, 3)
    assert set(read) == set(video)
    frames = manifest.frame_count or 1
    whole = View(1, 87, [], video, np.zeros((90, frames), np.float32), np.array([0, 41, 89]))
    part = replace(whole, count=20, chosen=np.arange(5, 65, 3))
    for view in (whole, part, replace(part, count=0, chosen=np.empty(0, np.int64))):
        for mine, theirs in zip(ranker.rank(view, text, [4, 90, 1]), graph.rank(view, text, [4, 90, 1]), strict=True):
            np.testing.assert_allclose(mine.scores, theirs.scores, atol=1e-4 * np.abs(theirs.scores).max(initial=0))
            assert set(mine.rows.tolist()) == set(theirs.rows.tolist())
            if (mine.attention is None) == (theirs.attention is None) and theirs.attention is not None:
                order = [theirs.rows.tolist().index(row) for row in mine.rows]
                np.testing.assert_allclose(mine.attention, theirs.attention[order], atol=1e-4)


@pytest.mark.parametrize("name", SYSTEMS)
def test_records_on_a_device_rank_as_the_scan_does(
    name: str, written: Callable[[str], Written], caplog: pytest.LogCaptureFixture
) -> None:
    manifest, path = written(name)
    ranker, _ = ranker_of(manifest, path)
    assert isinstance(ranker, CompiledRanker)
    text, video = records(manifest, 90, 3)
    tried = GraphRanker(OnnxScorer(path, 1), pair_floats(manifest)).scores(_view(video, 90, []), text, 3)
    free = 10**9
    resident = ResidentPairs(DEVICE, lambda: free)
    on_device = device_ranker(ranker, resident, text, video, tried)
    if torch.cuda.is_available() and "mmt" in name:
        assert on_device is ranker
        return
    assert isinstance(on_device, DeviceScanRanker)
    ids: list[str] = []
    for count, dead in ((20, []), (37, [3]), (90, [3, 40, 89])):
        view = _view({key: values[:count] for key, values in video.items()}, count, dead, ids)
        for mine, theirs in zip(
            on_device.rank(view, text, [4, 90, 1]), ranker.rank(view, text, [4, 90, 1]), strict=True
        ):
            np.testing.assert_allclose(mine.scores, theirs.scores, atol=1e-3 * np.abs(theirs.scores).max())
            if DEVICE.type == "cpu":
                np.testing.assert_array_equal(mine.rows, theirs.rows)
            assert (mine.attention is None) == (theirs.attention is None)
        assert len(resident) == count
    # A gallery that was dropped and grew beyond the device is searched by the processor.
    free = 0
    whole = _view({key: np.concatenate([values, values]) for key, values in video.items()}, 180, [], [])
    assert len(on_device.rank(whole, text, [5, 5, 5])[0].rows) == 5
    assert len(resident) == 0
    assert "the processor searches from now on" in caplog.text


class Spoilt(ResidentPairs):
    def search(self, scan: PairsScan, n: int, live: npt.NDArray[np.bool_] | None) -> Any:
        scores, rows = super().search(scan, n, live)
        return 1.01 * scores, rows


def test_a_kernel_with_other_scores_is_not_taken(
    written: Callable[[str], Written], caplog: pytest.LogCaptureFixture
) -> None:
    manifest, path = written("xclip")
    ranker, _ = ranker_of(manifest, path)
    assert isinstance(ranker, CompiledRanker)
    text, video = records(manifest, 30, 2)
    tried = GraphRanker(OnnxScorer(path, 1), pair_floats(manifest)).scores(_view(video, 30, []), text, 2)
    assert device_ranker(ranker, Spoilt(torch.device("cpu")), text, video, tried) is ranker
    assert "the kernel of multi_grained is off by" in caplog.text
    assert device_ranker(ranker, ResidentPairs(torch.device("cpu"), lambda: 0), text, video, tried) is ranker
    assert "the kernel of multi_grained did not run: 30 videos" in caplog.text


def _view(video: Arrays, count: int, dead: list[int], ids: list[str] | None = None) -> View:
    frames = next((len(values[0]) for values in video.values() if values.ndim > 2), 1)
    times = np.zeros((count, frames), np.float32)
    return View(1, count - len(dead), [] if ids is None else ids, video, times, np.array(dead, np.intp))


def test_without_a_compiler_or_with_another_formula_the_graph_runs(
    written: Callable[[str], Written], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    manifest, path = written("xclip")
    found = {name.rpartition(".")[2]: values for name, values in weights(path).items()}
    data = path.read_bytes()
    assert isinstance(ranker_of(manifest, path)[0], CompiledRanker)
    # The graph mixes with another matrix than before, and so does the scan.
    (tmp_path / "other.onnx").write_bytes(data.replace(found["word_mat_weight"].tobytes(), bytes(4 * 400)))
    assert isinstance(ranker_of(manifest, tmp_path / "other.onnx")[0], CompiledRanker)
    # The manifest names a formula that is not the graph's.
    assert isinstance(ranker_of(replace(manifest, scorer="token_frame", options={"tau": 100.0}), path)[0], GraphRanker)
    assert "its graph is run" in caplog.text
    monkeypatch.setattr(library, "LIBRARIES", ())
    assert isinstance(ranker_of(manifest, path)[0], GraphRanker)


@pytest.mark.parametrize("data", [b"\x3a\x05ab", b"\x3a", b"\xff" * 12, b"\x3b\x00", b"\x3a\x04\x2a\x02\x0a\x7f"])
def test_a_file_that_is_no_graph_is_refused(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "scorer.onnx").write_bytes(data)
    with pytest.raises(BundleError, match="can't be read"):
        weights(tmp_path / "scorer.onnx")
