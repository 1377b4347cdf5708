"""Flavours, their settings, what the builder says, and how errors name graphs, nodes and reasons."""

from __future__ import annotations

import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from onnx import NodeProto, TensorProto, helper

from framesift.export.bundle.engines.device import Device, parse_device, sm
from framesift.export.bundle.engines.flavours import FLAVOURS, RTX, TENSORRT, Flavour, flavour
from framesift.export.bundle.engines.profiles import Range
from framesift.export.bundle.errors import EngineError
from framesift.export.bundle.spec import GraphPorts, TensorSpec
from framesift.export.tensorrt import commands
from framesift.export.tensorrt.build import PRECISIONS
from framesift.export.tensorrt.builder import Settings, build_engine, check_settings, configure
from framesift.export.tensorrt.commands import HARDWARE
from framesift.export.tensorrt.messages import Messages, listening, logger
from framesift.export.tensorrt.progress import Meter

from .toy_bundle import onnx_model, write

trt = pytest.importorskip(
    "tensorrt_rtx_bindings", reason="TensorRT for RTX is not installed: pip install 'framesift[rtx]'"
)

PORTS = GraphPorts((TensorSpec("a", "float32", ("batch", 6)),), (TensorSpec("y", "float32", ("batch", 6)),))
RANGES = {"a": Range((1, 6), (3, 6), (5, 6))}
WEIGHT = {"w": np.eye(6, dtype=np.float32)}
ADA = Settings(targets=("sm_89",))


def product(output: str = "y") -> NodeProto:
    return helper.make_node("MatMul", ["a", "w"], [output], name="product")


def built(folder: Path, nodes: tuple[NodeProto, ...], settings: Settings = ADA, ports: GraphPorts = PORTS) -> bytes:
    path = write(folder / "graph.onnx", onnx_model(nodes, ports, WEIGHT))
    return build_engine(RTX, "scorer", path, ports, RANGES, settings)[0]


def test_the_command_line_knows_what_the_builder_knows() -> None:
    assert tuple(FLAVOURS) == commands.FLAVOURS
    assert commands.PRECISIONS == PRECISIONS
    assert {target.replace("_", "").upper() for target in RTX.targets} == set(trt.ComputeCapability.__members__) - {
        "NONE",
        "CURRENT",
    }


def test_the_same_graph_and_targets_give_an_engine_every_time(tmp_path: Path) -> None:
    sizes = {len(built(tmp_path, (product(),))) for _ in range(2)}
    assert len(sizes) == 1
    assert sizes.pop() > 1000
    assert len(built(tmp_path, (product(),), replace(ADA, targets=RTX.targets[1:]))) > 1000


def test_a_target_without_the_precision_is_said(tmp_path: Path) -> None:
    with pytest.raises(
        EngineError, match=r"scorer: .*'product' for Turing \(SM75\): FP32 GEMM is not supported.*leave that target out"
    ):
        built(tmp_path, (product(),), replace(ADA, targets=("sm_75", "sm_89")))


def test_a_missing_package_is_named_with_the_line_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(EngineError, match=r"TensorRT is not installed: pip install 'framesift\[gpu\]'"):
        replace(TENSORRT, module="tensorrt_that_nobody_installed").load()
    monkeypatch.syspath_prepend(str(tmp_path))
    for name, text, said in (
        ("trt_without_libraries", "import ctypes; ctypes.CDLL('libnvinfer_absent.so')", "libnvinfer_absent.so"),
        ("trt_torn", "raise ImportError('libfoo.so: undefined symbol')", "undefined symbol"),
        ("trt_old", "__version__ = '8.6.1'", r"8\.6\.1 is installed, framesift builds with 10\.x and 11\.x"),
    ):
        (tmp_path / f"{name}.py").write_text(text)
        with pytest.raises(EngineError, match=said):
            replace(TENSORRT, module=name).load()
        sys.modules.pop(name, None)
    with pytest.raises(EngineError, match="no flavour onnx; there are tensorrt, rtx"):
        flavour("onnx")


def test_targets_are_put_in_order_and_unknown_ones_refused() -> None:
    assert RTX.check_targets(("sm_120", "sm_80", "sm_120")) == ("sm_80", "sm_120")
    assert TENSORRT.check_targets(()) == ()
    assert RTX.check_targets((), "sm_89") == ("sm_89",)
    with pytest.raises(EngineError, match="can't build for sm_90;"):
        RTX.check_targets((), "sm_90")
    with pytest.raises(EngineError, match="can't build for sm_100, sm_90; it builds for sm_75, .*--flavour tensorrt"):
        RTX.check_targets(("sm_90", "sm_89", "sm_100"))
    with pytest.raises(EngineError, match="workspace must be at least 1 byte"):
        check_settings(RTX, replace(ADA, workspace=0))


@pytest.mark.parametrize(("precision", "allowed"), [("fp32", False), ("tf32", True), ("fp16", False), ("bf16", False)])
def test_tf32_is_allowed_only_where_asked_for(precision: str, allowed: bool) -> None:
    builder = trt.Builder(logger(trt))
    config = configure(trt, builder, RTX, replace(ADA, precision=precision))
    assert config.get_flag(trt.BuilderFlag.TF32) is allowed
    assert config.num_compute_capabilities == 1
    assert config.get_compute_capability(0) == trt.ComputeCapability.SM89


def test_settings_of_tensorrt_reach_its_configuration() -> None:
    # Both have one interface; what TensorRT for RTX ignores (other hardware, timings) it can't show.
    like = Flavour("tensorrt", "TensorRT", trt.__name__, "gpu", (1,))
    settings = Settings(workspace=3 << 20, version_compatible=True)
    check_settings(like, settings)
    config = configure(trt, trt.Builder(logger(trt)), like, settings)
    assert config.get_memory_pool_limit(trt.MemoryPoolType.WORKSPACE) == 3 << 20
    assert config.get_flag(trt.BuilderFlag.VERSION_COMPATIBLE)
    plain = configure(trt, trt.Builder(logger(trt)), like, Settings())
    assert plain.get_memory_pool_limit(trt.MemoryPoolType.WORKSPACE) > 1 << 30
    assert not plain.get_flag(trt.BuilderFlag.VERSION_COMPATIBLE)
    assert set(HARDWARE) - {"same_gpu"} <= {name.lower() for name in trt.HardwareCompatibilityLevel.__members__}


def test_tensorrt_itself_knows_every_name_that_is_used() -> None:
    bindings = find_spec("tensorrt_bindings")
    if bindings is None or not bindings.submodule_search_locations:
        pytest.skip("the bindings of TensorRT are not installed: pip install tensorrt-cu13-bindings")
    # Without its libraries, which need a GPU's machine, the module can't be imported, but its names can be read.
    (library,) = Path(bindings.submodule_search_locations[0]).glob("*.so")
    known = library.read_bytes()
    names = [name for name in HARDWARE if name != "same_gpu"]
    used = """STRONGLY_TYPED TF32 VERSION_COMPATIBLE WORKSPACE hardware_compatibility_level set_memory_pool_limit
        create_timing_cache set_timing_cache get_timing_cache progress_monitor phase_start step_complete phase_finish
        parse_from_file num_errors get_error node_operator node_name add_optimization_profile set_shape
        build_serialized_network IProgressMonitor ILogger OnnxParser"""
    assert [name for name in (*used.split(), *map(str.upper, names)) if name.encode() not in known] == []


@pytest.mark.parametrize("content", [b"", b"hello" * 40, b"\x08\x0a\x12\x05"], ids=["empty", "text", "cut"])
def test_what_is_no_onnx_is_named(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "graph.onnx").write_bytes(content)
    with pytest.raises(EngineError, match=r"scorer: graph\.onnx can't be read as ONNX: .*Export the bundle again"):
        build_engine(RTX, "scorer", tmp_path / "graph.onnx", PORTS, RANGES, ADA)
    with pytest.raises(EngineError, match=r"scorer: .*absent\.onnx is missing"):
        build_engine(RTX, "scorer", tmp_path / "absent.onnx", PORTS, RANGES, ADA)


def test_every_node_that_is_not_taken_is_listed(tmp_path: Path) -> None:
    nodes = (
        helper.make_node("Whirl", ["a"], ["b"], name="first", domain="toy"),
        helper.make_node("StringNormalizer", ["b"], ["c"], name="second"),
        helper.make_node("Twist", ["c"], ["y"], domain="toy"),
    )
    with pytest.raises(EngineError) as raised:
        built(tmp_path, nodes)
    said = str(raised.value)
    assert said.startswith(f"scorer: TensorRT for RTX {trt.__version__} does not take Whirl (node first; ")
    assert "no operator of ONNX and no plugin" in said
    assert "StringNormalizer (node second; unsupported node)" in said
    assert "Twist (node number 2; " in said


def test_what_only_building_shows_carries_the_builders_reason(tmp_path: Path) -> None:
    ports = GraphPorts((TensorSpec("a", "float32", ("batch", 6)),), (TensorSpec("y", "float32", ("batch", 6)),))
    with pytest.raises(EngineError, match=r"scorer: TensorRT for RTX .* no tactics .* give --workspace more"):
        built(tmp_path, (product(),), replace(ADA, workspace=64), ports)
    for faulty, said in (
        (Range((3, 6), (2, 6), (5, 6)), "MIN<=OPT<=MAX"),
        (Range((1, 7), (3, 7), (5, 7)), "Dimension mismatch for tensor a"),
    ):
        with pytest.raises(EngineError, match=f"scorer: .*{said}") as raised:
            build_engine(RTX, "scorer", tmp_path / "graph.onnx", PORTS, {"a": faulty}, ADA)
        assert "cudaError" not in str(raised.value)


@pytest.mark.parametrize(
    "promised",
    [
        GraphPorts(PORTS.inputs, (TensorSpec("z", "float32", ("batch", 6)),)),
        GraphPorts(PORTS.inputs, (TensorSpec("y", "float16", ("batch", 6)),)),
        GraphPorts(PORTS.inputs, (TensorSpec("y", "float32", ("batch", 5)),)),
        GraphPorts((TensorSpec("a", "float32", (4, 6)),), PORTS.outputs),
        GraphPorts((*PORTS.inputs, TensorSpec("b", "float32", ("batch", 6))), PORTS.outputs),
    ],
    ids=["name", "dtype", "size", "fixed", "number"],
)
def test_a_graph_with_other_ports_is_not_built(promised: GraphPorts, tmp_path: Path) -> None:
    path = write(tmp_path / "graph.onnx", onnx_model((product(),), PORTS, WEIGHT))
    with pytest.raises(EngineError, match=r"scorer: TensorRT reads the (in|out)puts .*, the bundle promises "):
        build_engine(RTX, "scorer", path, promised, RANGES, ADA)


def test_float16_weights_keep_their_type(tmp_path: Path) -> None:
    nodes = (
        helper.make_node("Cast", ["a"], ["low"], to=TensorProto.FLOAT16, name="narrow"),
        helper.make_node("MatMul", ["low", "low_w"], ["low_y"], name="product"),
        helper.make_node("Cast", ["low_y"], ["y"], to=TensorProto.FLOAT, name="widen"),
    )
    model = onnx_model(nodes, PORTS, {"low_w": np.eye(6, dtype=np.float16)})
    path = write(tmp_path / "graph.onnx", model)
    assert build_engine(RTX, "scorer", path, PORTS, RANGES, replace(ADA, precision="fp16"))[0]
    # A float32 weight there would be cast in a weakly typed network; here it is a fault.
    path = write(tmp_path / "mixed.onnx", onnx_model(nodes, PORTS, {"low_w": np.eye(6, dtype=np.float32)}))
    with pytest.raises(EngineError, match="product"):
        build_engine(RTX, "scorer", path, PORTS, RANGES, replace(ADA, precision="fp16"))


def test_one_logger_hears_each_build_alone(tmp_path: Path) -> None:
    assert logger(trt) is logger(trt)
    with listening(trt) as outer:
        with listening(trt) as inner:
            logger(trt).log(trt.ILogger.WARNING, "a warning")
            with pytest.raises(EngineError):
                built(tmp_path, (helper.make_node("Whirl", ["a"], ["y"], domain="toy"),))
        logger(trt).log(trt.ILogger.ERROR, "later")
        logger(trt).log(trt.ILogger.VERBOSE, "chatter")
    assert inner.warnings == ["a warning"]
    assert outer.errors == ["later"]
    assert outer.warnings == []


def test_reasons_are_short_and_leave_out_the_missing_driver() -> None:
    messages = Messages()
    assert messages.reason() == "it gave no reason"
    messages.add("WARNING", "something\n  odd")
    assert messages.reason() == "something odd"
    messages.add("ERROR", "(cudaError 35: too old)")
    assert messages.reason() == "(cudaError 35: too old)"
    for number in range(7):
        messages.add("INTERNAL_ERROR", f"fault {number}")
    assert messages.reason() == "fault 0; fault 1; fault 2; fault 3; fault 4; and 2 more"


def test_progress_never_falls_and_ends_at_one() -> None:
    told: list[float] = []
    meter = Meter(told.append)
    meter.open("build", None, 2)
    meter.open("part", "build", 4)
    meter.step("part", 0)
    meter.step("part", 1)
    assert told == [0.125, 0.25]
    meter.close("part")
    meter.step("build", 0)
    meter.open("part", "build", 2)
    meter.step("part", 0)
    meter.step("unknown", 9)
    meter.close("build")
    assert told == [0.125, 0.25, 0.5, 0.75, 1.0]


def test_devices_are_read_as_the_driver_prints_them() -> None:
    assert parse_device("NVIDIA H100 80GB HBM3, 9.0, 580.95.05\n") == Device(
        "NVIDIA H100 80GB HBM3", "sm_90", "580.95.05"
    )
    assert parse_device("NVIDIA RTX PRO 6000, 12.0, 575.51") == Device("NVIDIA RTX PRO 6000", "sm_120", "575.51")
    for other in ("", "No devices were found", "NVIDIA X, [N/A], 580"):
        assert parse_device(other) is None
    assert sm(8, 9) == "sm_89"
