"""The real builder takes every graph of the demo and of the oddest systems, and reads the ports that are promised."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from click.testing import CliRunner

from framesift.__main__ import main
from framesift.bench.inputs.graphs_bundle import graphs_bundle
from framesift.export.bundle.engines.flavours import RTX
from framesift.export.bundle.engines.folder import Engines
from framesift.export.bundle.engines.profiles import default_limits, profile
from framesift.export.bundle.errors import PrecisionError
from framesift.export.bundle.ports import GRAPHS
from framesift.export.bundle.store import Bundle
from framesift.export.corpus.generate import write_corpus
from framesift.export.precision.calibration import calibration_inputs
from framesift.export.precision.gate import Gate
from framesift.export.precision.verdict import GateLimits
from framesift.export.systems.examples import examples, small_system
from framesift.export.tensorrt.build import build_engines
from framesift.export.tensorrt.builder import Settings
from framesift.export.tensorrt.messages import logger
from framesift.export.tensorrt.network import dtype, read_network

from ...small_systems import small_bundle

pytestmark = pytest.mark.long
trt = pytest.importorskip(
    "tensorrt_rtx_bindings", reason="TensorRT for RTX is not installed: pip install 'framesift[rtx]'"
)

TARGETS = ("sm_80", "sm_89", "sm_120")
# An export takes longer than its engines, so the usual tests build one small system, a transformer over pairs, from the
# bundle that other tests serve.
FIRST = "clip4clip tightTransf"
SYSTEMS = [FIRST, *(pytest.param(name, marks=pytest.mark.slow) for name in examples() if name != FIRST)]


@pytest.fixture(params=SYSTEMS)
def small(request: pytest.FixtureRequest, bundles: Path, tmp_path: Path) -> Bundle:
    name, mine = request.param, tmp_path / "bundle"
    return linked(small_bundle(name, bundles), mine) if name == FIRST else graphs_bundle(small_system(name), mine)


def linked(bundle: Bundle, mine: Path) -> Bundle:
    """A bundle in a folder of its own: the shared one stays as it is."""
    mine.mkdir()
    for path in bundle.root.iterdir():
        if path.is_file():
            (mine / path.name).hardlink_to(path)
    return Bundle.open(mine)


def check(bundle: Bundle, engines: Engines) -> None:
    """What was built stands in the folder, for the ports and shapes of the bundle."""
    assert Engines.open(engines.root, bundle) == engines
    for graph in GRAPHS:
        built, ports = engines.manifest.graphs[graph], bundle.manifest.graphs[graph]
        assert built.bytes > bundle.graph(graph).stat().st_size / 4
        assert built.profile == profile(graph, bundle.manifest, default_limits(bundle.manifest))
        network = read_network(trt, "it", trt.Builder(logger(trt)), graph, bundle.graph(graph))
        inputs = [network.get_input(place) for place in range(network.num_inputs)]
        outputs = [network.get_output(place) for place in range(network.num_outputs)]
        for tensors, promised in ((inputs, ports.inputs), (outputs, ports.outputs)):
            assert [(tensor.name, dtype(tensor.dtype), tuple(tensor.shape)) for tensor in tensors] == [
                (port.name, port.dtype, port.shape) for port in promised
            ]


def test_every_graph_of_a_small_system_is_built(small: Bundle) -> None:
    check(small, build_engines(small, RTX, Settings(targets=TARGETS)))


@pytest.fixture
def demo(bundle: Bundle, tmp_path: Path) -> Bundle:
    return linked(bundle, tmp_path / "demo")


def test_every_graph_of_the_demo_is_built(demo: Bundle) -> None:
    check(demo, build_engines(demo, RTX, Settings(targets=TARGETS)))


@pytest.mark.slow
def test_float16_and_bfloat16_are_built_after_the_gate(demo: Bundle) -> None:
    judging = Gate(demo, calibration_inputs(demo, limit=20))
    for precision in ("fp16", "bf16"):
        engines = build_engines(demo, RTX, Settings(precision=precision, targets=TARGETS), gate=lambda: judging)
        check(demo, engines)
        assert engines.manifest.gate is not None
        assert engines.manifest.gate["precision"] == precision
        assert engines.manifest.gate["ok"]


def test_nothing_is_built_where_the_ranking_suffers(demo: Bundle) -> None:
    strict = Gate(demo, calibration_inputs(demo, limit=3), GateLimits(overlap=1.5))
    with pytest.raises(PrecisionError, match="the ranking suffers in tf32 over 3 videos"):
        build_engines(demo, RTX, Settings(precision="tf32", targets=("sm_89",)), gate=lambda: strict)
    assert list((demo.root / "engines").iterdir()) == []
    # What float32 computes needs no gate.
    assert build_engines(demo, RTX, Settings(targets=("sm_89",)), gate=lambda: strict).manifest.gate is None


def test_the_command_judges_first(demo: Bundle) -> None:
    videos = demo.root / "videos"
    (pair,) = write_corpus(videos, 1, "test", 5)
    captions = demo.root / "captions.csv"
    with captions.open("w", newline="") as file:
        csv.writer(file).writerows([("video_id", "sentence"), (pair.video.name, pair.captions[0])])
    options = ["--flavour", "rtx", "--target", "sm_89", "--precision", "fp16"]
    mine = ["--videos", str(videos), "--captions", str(captions)]
    result = CliRunner().invoke(main, ["build", str(demo.root), *options, *mine])
    assert result.exit_code == 0, result.output
    assert "judging the ranking in fp16" in result.output
    assert "over 1 videos of the captions.csv: top-10 overlap with float32 1.0000, R@1 100.0" in result.output
