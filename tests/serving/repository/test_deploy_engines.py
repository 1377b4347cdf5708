"""Engines in a deployment for NVIDIA's container, and the look at them before its server starts."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from dataclasses import replace
from pathlib import Path

import pytest

from framesift.export.bundle.engines.check import check, library_version
from framesift.export.bundle.engines.device import Device
from framesift.export.bundle.engines.folder import Engines
from framesift.export.bundle.engines.manifest import EngineManifest, GraphEngine
from framesift.export.bundle.engines.profiles import default_limits, scorer_profiles
from framesift.export.bundle.errors import EngineError, EngineMismatch, InvalidRequest
from framesift.export.bundle.ports import GRAPHS, SCORER, TEXT_ENCODER, VIDEO_ENCODER
from framesift.export.bundle.scorers import max_pairs
from framesift.export.bundle.store import Bundle, sha256
from framesift.serving.repository.config import parse
from framesift.serving.repository.deploy import deploy

L4 = Device("NVIDIA L4", "sm_89", "580.95.05")


def engines(bundle: Bundle, folder: Path, flavour: str = "tensorrt", *, served: bool = True) -> Engines:
    """A folder as ``framesift build`` leaves it, but for what is in the engines: nothing here opens them.

    Args:
        served: whether the scorer's engine has the profiles of all requests.
    """
    graphs = {}
    first, *others = scorer_profiles(bundle.manifest, max_pairs(bundle.manifest))
    for name in GRAPHS:
        path = folder / f"{name}.engine"
        path.write_bytes(name.encode())
        source, size = bundle.manifest.files[f"{name}.onnx"], path.stat().st_size
        if name == SCORER:
            beside = tuple(others) if served else ()
            graphs[name] = GraphEngine(source, sha256(path), size, 1.0, first, beside, plugin=True)
        else:
            graphs[name] = GraphEngine(source, sha256(path), size, 1.0, {})
    manifest = EngineManifest(
        flavour=flavour,
        version="10.13.3.9",
        precision="fp16",
        capabilities=("sm_89",),
        gpu="NVIDIA L4",
        driver="580.95.05",
        cuda=12,
        version_compatible=False,
        hardware="same_gpu",
        limits=default_limits(bundle.manifest),
        fingerprint=bundle.manifest.fingerprint,
        graphs=graphs,
        date="2026-11-26",
        framesift="0.0",
    )
    (folder / "engines.json").write_text(manifest.to_json())
    return Engines.open(folder, bundle)


@pytest.fixture
def deployed(bundle: Bundle, tmp_path: Path) -> Path:
    (tmp_path / "made").mkdir()
    deploy(bundle, tmp_path / "out", "tensorrt", engines=engines(bundle, tmp_path / "made"))
    return tmp_path / "out"


def test_every_encoder_has_its_engine_and_three_ways_to_run(deployed: Path) -> None:
    repository = deployed / "model_repository"
    scorer = parse((repository / SCORER / "configs/tensorrt.pbtxt").read_text())
    assert (scorer.backend, scorer.default_model_filename) == ("tensorrt", "model.plan")
    made = EngineManifest.from_json((deployed / "engines/engines.json").read_text()).graphs[SCORER]
    assert list(scorer.instance_group[0].profile) == [str(number) for number in range(len(made.profiles))]
    assert len(made.profiles) == 7
    assert made.plugin
    assert (repository / SCORER / "1/model.plan").read_bytes() == SCORER.encode()
    for name in (VIDEO_ENCODER, TEXT_ENCODER):
        assert (repository / name / "1/model.plan").read_bytes() == name.encode()
        assert (repository / name / "1/model.onnx").stat().st_size > 1000
        usual = parse((repository / name / "config.pbtxt").read_text())
        plan, fast = (
            parse((repository / name / f"configs/{way}.pbtxt").read_text()) for way in ("tensorrt", "accelerated")
        )
        assert (plan.backend, plan.platform, plan.default_model_filename) == ("tensorrt", "tensorrt_plan", "model.plan")
        assert not plan.parameters
        accelerator, rest = fast.optimization.execution_accelerators.gpu_execution_accelerator
        assert (accelerator.name, rest.name) == ("tensorrt", "cuda")
        assert accelerator.parameters["trt_engine_cache_enable"] == "true"
        # Whatever runs it, a model has the same inputs, outputs and queue.
        for other in (plan, fast):
            assert (list(other.input), list(other.output)) == (list(usual.input), list(usual.output))
            assert (other.max_batch_size, other.dynamic_batching) == (usual.max_batch_size, usual.dynamic_batching)
    assert "COPY --chmod=755 engines " in (deployed / "Dockerfile").read_text()


@pytest.mark.parametrize("script", ["run.sh", "start.sh"])
def test_scripts_are_bash(deployed: Path, script: str) -> None:
    assert (deployed / script).stat().st_mode & 0o111
    assert subprocess.run(["bash", "-n", str(deployed / script)], check=False).returncode == 0


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("", "there is no TensorRT here to run the engines"),
        ("tensorrt", "there is no TensorRT here to run the engines"),
        ("accelerated", "would let others call"),
        ("plan", "'plan' is not one of"),
    ],
)
def test_engines_are_looked_at_where_they_are_to_run(deployed: Path, tmp_path: Path, given: str, said: str) -> None:
    """start.sh itself, which gets no further than this on a machine without a GPU, or without tokens."""
    root = tmp_path / "tritonserver"
    for name in ("bin/tritonserver", "backends/python/triton_python_backend_stub", "backends/onnxruntime/lib"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    environment = {
        "PATH": f"{Path(sys.prefix, 'bin')}:/usr/bin:/bin",
        "FRAMESIFT_CONFIG": given,
        "FRAMESIFT_TRITON": str(root),
        "FRAMESIFT_GALLERY": str(tmp_path / "gallery"),
        "FRAMESIFT_SECRETS": str(tmp_path / "none"),
    }
    run = subprocess.run([deployed / "start.sh"], env=environment, capture_output=True, text=True, check=False)
    assert run.returncode != 0
    assert said in run.stderr


def test_a_scorers_engine_that_holds_less_is_not_served(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    built = engines(bundle, tmp_path / "made", served=False)
    deploy(bundle, tmp_path / "out", "tensorrt", engines=built)
    scorer = tmp_path / "out/model_repository" / SCORER
    assert not (scorer / "1/model.plan").exists()
    assert not (scorer / "configs/tensorrt.pbtxt").exists()
    shapes = {
        port.name: tuple(3 if isinstance(dim, str) else dim for dim in port.dims)
        for port in bundle.manifest.graphs[SCORER].inputs
    }
    with pytest.raises(InvalidRequest, match="its engine takes"):
        built.check_shapes(SCORER, shapes)
    (tmp_path / "all").mkdir()
    engines(bundle, tmp_path / "all").check_shapes(SCORER, shapes)


def test_only_fitting_engines_are_deployed(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "rtx").mkdir()
    with pytest.raises(EngineError, match="engines of rtx, which Triton server's TensorRT backend can't run"):
        deploy(bundle, tmp_path / "a", "tensorrt", engines=engines(bundle, tmp_path / "rtx", "rtx"))
    with pytest.raises(EngineError, match="needs the folder of its engines"):
        deploy(bundle, tmp_path / "b", "tensorrt")
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(
    ("device", "version", "said"),
    [
        (replace(L4, capability="sm_90"), "10.13.3", "they are for sm_89, the GPU here is sm_90"),
        (L4, "10.14.0", "built with TensorRT 10.13.3.9, here is 10.14.0"),
        (replace(L4, driver="470.57.02"), "10.13.3", "need the driver of CUDA 12"),
        (None, "10.13.3", "this machine shows none"),
    ],
)
def test_engines_that_do_not_fit_are_refused_before_the_server(
    deployed: Path, device: Device | None, version: str, said: str
) -> None:
    with pytest.raises(EngineMismatch, match=said):
        check(deployed / "engines", device, version)


def test_engines_that_fit_pass(deployed: Path) -> None:
    check(deployed / "engines", L4, "10.13.3")


def test_the_check_runs_from_the_deployment_alone(deployed: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-S", "-m", "framesift.export.bundle.engines.check", str(deployed / "engines")]
    # Without the environment's .pth files, so that framesift comes from the deployment.
    paths = f"{deployed / 'python'}:{sysconfig.get_path('purelib')}"
    run = subprocess.run(command, env={"PYTHONPATH": paths}, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert run.stderr.startswith("Error: there is no TensorRT here")


def test_the_version_is_the_librarys_own() -> None:
    libraries = pytest.importorskip("tensorrt_rtx_libs")
    bindings = pytest.importorskip("tensorrt_rtx_bindings")
    (path,) = Path(libraries.__file__).parent.glob("libtensorrt_rtx.so.*")
    assert library_version(("libabsent.so", str(path))) == ".".join(bindings.__version__.split(".")[:3])
