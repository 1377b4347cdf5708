"""The real builder takes every graph of the demo and of the oddest systems, and reads the ports that are promised."""

from __future__ import annotations

from pathlib import Path

import pytest

from framesift.bench.engine_table import graphs_bundle
from framesift.export.bundle.ports import GRAPHS
from framesift.export.bundle.store import Bundle
from framesift.export.tensorrt.build import build_engines
from framesift.export.tensorrt.builder import Settings
from framesift.export.tensorrt.engines import Engines
from framesift.export.tensorrt.flavours import RTX
from framesift.export.tensorrt.messages import logger
from framesift.export.tensorrt.network import dtype, read_network
from framesift.export.tensorrt.profiles import default_limits, profile

from ...small_systems import model

pytestmark = pytest.mark.long
trt = pytest.importorskip(
    "tensorrt_rtx_bindings", reason="TensorRT for RTX is not installed: pip install 'framesift[rtx]'"
)

TARGETS = ("sm_80", "sm_89", "sm_120")
# The oddest graphs: an LSTM, a transformer over pairs, a selection of patches with noise and masks. An export takes
# longer than its engines: bench/engine_table.py has every system.
SYSTEMS = ("clip4clip seqLSTM", "clip4clip tightTransf", "ts2net")


@pytest.fixture(scope="module", params=SYSTEMS)
def small(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return graphs_bundle(model(request.param), tmp_path_factory.mktemp("engines") / "bundle")


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


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
def test_every_graph_of_the_demo_is_built(precision: str, bundle: Bundle, tmp_path: Path) -> None:
    # The shared bundle stays as it is.
    mine = tmp_path / "demo"
    mine.mkdir()
    for path in bundle.root.iterdir():
        if path.is_file():
            (mine / path.name).symlink_to(path)
    opened = Bundle.open(mine)
    check(opened, build_engines(opened, RTX, Settings(precision=precision, targets=TARGETS)))
