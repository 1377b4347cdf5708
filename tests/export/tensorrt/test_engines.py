"""Engines of a bundle: built by the real builder, kept whole, and refused where they don't fit."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from framesift.__main__ import main
from framesift.export.bundle.engines.flavours import RTX
from framesift.export.bundle.engines.folder import Engines
from framesift.export.bundle.engines.manifest import MANIFEST
from framesift.export.bundle.engines.profiles import EngineLimits
from framesift.export.bundle.errors import EngineError, EngineMismatch, InvalidRequest
from framesift.export.bundle.ports import GRAPHS, SCORER, TEXT_ENCODER, VIDEO_ENCODER
from framesift.export.bundle.store import Bundle, sha256
from framesift.export.tensorrt.build import build_engines
from framesift.export.tensorrt.builder import Settings
from framesift.export.tensorrt.execution import Engine

from .toy_bundle import WORDS, D, F, toy_bundle

pytest.importorskip("tensorrt_rtx_bindings", reason="TensorRT for RTX is not installed: pip install 'framesift[rtx]'")

TARGETS = ("sm_80", "sm_89", "sm_120")
RTX_VERSION = "1.7.1.116"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return toy_bundle(tmp_path_factory.mktemp("toys") / "toy")


@pytest.fixture(scope="module")
def engines(bundle: Bundle) -> Engines:
    return build_engines(bundle, RTX, Settings(targets=TARGETS), EngineLimits(queries=5, videos=40))


def as_if(engines: Engines, **changed: Any) -> Engines:
    """The same engines with another manifest, as another builder or machine would have written it."""
    return replace(engines, manifest=replace(engines.manifest, **changed))


def test_the_folder_tells_what_was_built(engines: Engines, bundle: Bundle) -> None:
    assert engines.root == bundle.root / "engines" / "rtx-fp32-sm80-sm89-sm120"
    assert sorted(path.name for path in engines.root.iterdir()) == sorted([MANIFEST, *(f"{g}.engine" for g in GRAPHS)])
    made = engines.manifest
    assert (made.flavour, made.precision, made.capabilities) == ("rtx", "fp32", TARGETS)
    assert made.version == RTX.load().__version__
    assert made.cuda == RTX.cuda() in (12, 13)
    assert made.fingerprint == bundle.manifest.fingerprint
    for name in GRAPHS:
        built = made.graphs[name]
        assert built.source == sha256(bundle.graph(name))
        assert built.bytes == engines.engine(name).stat().st_size > 1000
        assert built.seconds > 0
        assert set(built.profile) == {port.name for port in bundle.manifest.graphs[name].inputs}
    assert Engines.open(engines.root, bundle) == engines
    assert Bundle.open(bundle.root) == bundle


@pytest.mark.parametrize(
    ("graph", "fits", "refused"),
    [
        (VIDEO_ENCODER, {"frames": (8, F, 3, 6, 6)}, {"frames": (9, F, 3, 6, 6)}),
        (VIDEO_ENCODER, {"frames": (1, F, 3, 6, 6)}, {"frames": (1, F + 1, 3, 6, 6)}),
        (TEXT_ENCODER, {"token_ids": (64, WORDS)}, {"token_ids": (64, WORDS + 1)}),
        (TEXT_ENCODER, {"token_ids": (1, 1)}, {"token_ids": (0, 1)}),
        (TEXT_ENCODER, {"token_ids": (3, 4)}, {"token_ids": (3,)}),
        (SCORER, {"text_embedding": (5, D), "video_embedding": (40, D)}, {"text_embedding": (5, D)}),
        (
            SCORER,
            {"text_embedding": (1, D), "video_embedding": (1, D)},
            {"text_embedding": (6, D), "video_embedding": (40, D)},
        ),
    ],
)
def test_requests_outside_the_profile_are_refused(
    engines: Engines, graph: str, fits: dict[str, tuple[int, ...]], refused: dict[str, tuple[int, ...]]
) -> None:
    engines.check_shapes(graph, fits)
    with pytest.raises(InvalidRequest, match=graph):
        engines.check_shapes(graph, refused)


def test_they_run_on_their_gpus_with_their_release(engines: Engines) -> None:
    for target in TARGETS:
        engines.check_device(target, engines.manifest.version, "580.95.05")
    engines.check_device("sm_89", engines.manifest.version)


def test_another_gpu_or_release_is_refused_with_the_command_to_build(engines: Engines) -> None:
    with pytest.raises(EngineMismatch, match="they are for sm_80, sm_89, sm_120, the GPU here is sm_86") as raised:
        engines.check_device("sm_86", engines.manifest.version)
    assert (
        f"framesift build {engines.bundle.root} --flavour rtx --precision fp32 --target sm_80 --target sm_86 "
        "--target sm_89 --target sm_120 --max-queries 5 --max-videos 40 --overwrite"
    ) in str(raised.value)
    with pytest.raises(EngineMismatch, match=r"built with TensorRT for RTX \S+, here is 1\.8\.0\.1"):
        engines.check_device("sm_89", "1.8.0.1")
    with pytest.raises(EngineMismatch, match="sm_90; build on this machine with: framesift build .* --precision fp32"):
        engines.check_device("sm_90", engines.manifest.version)
    with pytest.raises(EngineMismatch, match="driver of CUDA 13, 580 or later, here is 570.86"):
        as_if(engines, cuda=13).check_device("sm_89", engines.manifest.version, "570.86")


def test_tensorrt_engines_are_bound_to_gpu_and_release(engines: Engines) -> None:
    made = as_if(engines, flavour="tensorrt", version="10.9.0.34", capabilities=("sm_90",), cuda=12)
    made.check_device("sm_90", "10.9.0.34", "550.54")
    with pytest.raises(EngineMismatch, match="they are for sm_90, the GPU here is sm_89") as raised:
        made.check_device("sm_89", "10.9.0.34")
    assert "on this machine: framesift build" in str(raised.value)
    for later in ("10.9.0.35", "11.0", "10.8.0.43"):
        with pytest.raises(EngineMismatch, match="built with TensorRT 10.9.0.34"):
            made.check_device("sm_90", later)


def test_compatible_tensorrt_engines_run_in_more_places(engines: Engines) -> None:
    made = as_if(
        engines,
        flavour="tensorrt",
        version="10.9.0.34",
        capabilities=("sm_80",),
        version_compatible=True,
        hardware="ampere_plus",
    )
    for capability in ("sm_80", "sm_89", "sm_120"):
        for version in ("10.9.0.34", "10.13.2", "11.4.0"):
            made.check_device(capability, version)
    for capability, version in (("sm_75", "10.9.0.34"), ("sm_90", "10.8.0.43"), ("sm_90", "12.0.0")):
        with pytest.raises(EngineMismatch, match="--version-compatible --hardware ampere_plus"):
            made.check_device(capability, version)


def test_engines_of_another_model_are_refused(engines: Engines, tmp_path: Path) -> None:
    other = toy_bundle(tmp_path / "other", seed=1)
    with pytest.raises(EngineMismatch, match=r"differs in video_encoder\.onnx, text_encoder\.onnx\. Build") as raised:
        Engines.open(engines.root, other)
    assert f"framesift build {other.root} --flavour rtx" in str(raised.value)


def test_damage_is_found(engines: Engines, bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="holds no engines"):
        Engines.open(tmp_path, bundle)
    for name in (MANIFEST, *(f"{graph}.engine" for graph in GRAPHS)):
        (tmp_path / name).write_bytes((engines.root / name).read_bytes())
    Engines.open(tmp_path, bundle)
    (tmp_path / f"{SCORER}.engine").unlink()
    with (tmp_path / f"{VIDEO_ENCODER}.engine").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(
        EngineError, match="video_encoder.engine has changed .*; scorer.engine is missing.*framesift build"
    ):
        Engines.open(tmp_path, bundle)
    values = json.loads((tmp_path / MANIFEST).read_text())
    for broken in (
        {**values, "format": 99},
        {k: v for k, v in values.items() if k != "gpu"},
        {**values, "graphs": {}},
        [],
    ):
        (tmp_path / MANIFEST).write_text(json.dumps(broken))
        with pytest.raises(EngineError, match=MANIFEST):
            Engines.open(tmp_path, bundle)


def test_nothing_half_built_is_left(tmp_path: Path) -> None:
    made = toy_bundle(tmp_path / "toy")
    made.graph(SCORER).write_bytes(b"no graph")
    with pytest.raises(EngineError, match="scorer: scorer.onnx can't be read as ONNX"):
        build_engines(made, RTX, Settings(targets=("sm_89",)))
    assert list((made.root / "engines").iterdir()) == []


def test_what_is_there_is_replaced_only_on_request(tmp_path: Path) -> None:
    made = toy_bundle(tmp_path / "toy")
    first = build_engines(made, RTX, Settings(targets=("sm_89",)))
    with pytest.raises(EngineError, match="exists already: pass --overwrite"):
        build_engines(made, RTX, Settings(targets=("sm_89",)))
    second = build_engines(made, RTX, Settings(targets=("sm_89",)), EngineLimits(videos=7), overwrite=True)
    assert second.root == first.root
    assert second.manifest.graphs[SCORER].profile["video_embedding"].max == (7, D)
    (second.root / MANIFEST).unlink()
    with pytest.raises(EngineError, match="exists already and holds no engines"):
        build_engines(made, RTX, Settings(targets=("sm_89",)), overwrite=True)


def test_ctrl_c_stops_a_build_and_leaves_nothing(tmp_path: Path) -> None:
    made = toy_bundle(tmp_path / "toy")
    shares: list[float] = []

    def interrupt(share: float) -> None:
        shares.append(share)
        if share > 0.3:
            os.kill(os.getpid(), signal.SIGINT)

    # Tests that run in the background of a shell are started without it.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            build_engines(made, RTX, Settings(targets=("sm_89",)), progress=lambda _: interrupt)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
    assert list((made.root / "engines").iterdir()) == []
    assert shares == sorted(shares)


def test_the_command_builds_and_tells(tmp_path: Path) -> None:
    made = toy_bundle(tmp_path / "toy")
    arguments = [
        "build",
        str(made.root),
        "--flavour",
        "rtx",
        "--precision",
        "fp32",
        "--target",
        "sm_120",
        "--max-videos",
        "9",
    ]
    result = CliRunner().invoke(main, [*arguments, "--workspace", "1G"])
    assert result.exit_code == 0, result.output
    found = Engines.open(made.root / "engines" / "rtx-fp32-sm120", made)
    assert found.manifest.limits.videos == 9
    assert f"{found.root}: rtx {found.manifest.version}, fp32, sm_120" in result.output
    assert all(f"building {graph}" in result.output for graph in GRAPHS)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--flavour", "rtx"], "must be told what to build for"),
        (["--flavour", "rtx", "--target", "sm_90"], "can't build for sm_90; it builds for sm_75, sm_80, sm_86"),
        (["--target", "sm_89"], "takes no --target; --flavour rtx builds for"),
        (["--flavour", "rtx", "--target", "sm_89", "--version-compatible"], "release that built it only"),
        (["--flavour", "rtx", "--target", "sm_89", "--hardware", "ampere_plus"], "given with --target"),
        (["--flavour", "rtx", "--target", "sm_89", "--timing-cache", "t"], "times no kernels"),
        (["--workspace", "plenty"], "'plenty' is no size: write it as 512M or 4G"),
        (["--flavour", "rtx", "--target", "sm_89", "--workspace", "1"], "Its workspace is 1 bytes: give --workspace"),
    ],
)
def test_what_cannot_be_built_is_said(options: list[str], said: str, tmp_path: Path) -> None:
    made = toy_bundle(tmp_path / "toy")
    result = CliRunner().invoke(main, ["build", str(made.root), "--precision", "fp32", *options])
    assert result.exit_code in (1, 2)
    assert said in result.output
    assert not list(made.root.glob("engines/*"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_an_engine_is_not_started_without_a_gpu() -> None:
    with pytest.raises(EngineError, match="runs on a GPU, and torch finds none"):
        Engine(RTX, "scorer", b"")
