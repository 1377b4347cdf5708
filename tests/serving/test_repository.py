"""The plan, its configurations, and what a deployment holds."""

from __future__ import annotations

import filecmp
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from framesift.export.bundle.errors import BundleError
from framesift.export.bundle.store import Bundle
from framesift.serving.repository.config import parse, render, to_text
from framesift.serving.repository.deploy import deploy
from framesift.serving.repository.plan import Ensemble, Model, plan
from framesift.serving.repository.render import differences, reference_manifest, write

COMMITTED = Path(__file__).parents[2] / "model_repository"
PLAN = plan(reference_manifest())

# Runs without the environment's .pth files, so that framesift can come from the deployment alone, as in the container.
_IMPORT_ALL = """
import sys
sys.path[:0] = sys.argv[1:3]
import framesift
assert framesift.__file__.startswith(sys.argv[1]), framesift.__file__
import importlib.util
from pathlib import Path
names = []
for path in sorted(Path(sys.argv[3]).glob("*/1/model.py")):
    spec = importlib.util.spec_from_file_location(path.parts[-3], path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    names.append(module.TritonPythonModel.__name__)
    if path.parts[-3] == "tokenizer":
        tokenizer = module.TritonPythonModel()
        tokenizer.setup({}, path.parent)
        import numpy as np
        text = np.frombuffer(b"a red circle", np.uint8)[None]
        (answer,) = tokenizer.run([{"text": text, "text_length": np.array([[12]], np.int32)}])
        assert answer["token_ids"].shape == (1, 16), answer
assert "torch" not in sys.modules
print(*names)
"""


@pytest.mark.parametrize("served", PLAN, ids=lambda s: s.name)
def test_a_configuration_survives_its_text(served: Model | Ensemble) -> None:
    config = render(served)
    assert parse(to_text(config)) == config
    assert [tuple(port.dims) for port in config.input] == [port.shape for port in served.inputs]


def test_the_committed_repository_is_what_the_plan_says() -> None:
    assert differences(COMMITTED, reference_manifest()) == []


@pytest.mark.parametrize("ensemble", [s for s in PLAN if isinstance(s, Ensemble)], ids=lambda s: s.name)
def test_every_step_finds_its_inputs(ensemble: Ensemble) -> None:
    known = {port.name for port in ensemble.inputs}
    for member in ensemble.steps:
        assert {port.name for port in member.inputs} <= known, member.name
        known |= {port.name for port in member.outputs}
    assert {port.name for port in ensemble.outputs} <= known


def test_no_output_is_text() -> None:
    assert all(port.dtype in {"uint8", "int32", "int64", "float32", "bool"} for s in PLAN for port in s.outputs)


def test_frames_travel_as_bytes_and_every_queue_is_bounded() -> None:
    for served in PLAN:
        if isinstance(served, Model):
            assert all(port.dtype == "uint8" for port in (*served.inputs, *served.outputs) if port.name == "frames")
            assert served.batching is not None or served.max_batch == 0
            assert served.batching is None or served.batching.max_queue > 0


def test_differences_are_found(tmp_path: Path) -> None:
    write(tmp_path, reference_manifest())
    assert differences(tmp_path, reference_manifest()) == []
    config = tmp_path / "search/config.pbtxt"
    config.write_text(config.read_text().replace("max_batch_size: 32", "max_batch_size: 8"))
    (tmp_path / "tokenizer/1/model.py").write_text("")
    (tmp_path / "scorer/config.pbtxt").unlink()
    (tmp_path / "stranger").mkdir()
    assert sorted(differences(tmp_path, reference_manifest())) == [
        "scorer/config.pbtxt is missing",
        "search/config.pbtxt differs",
        "stranger is not in the plan",
        "tokenizer/1/model.py differs",
    ]
    # Another order of fields or other white space is the same configuration.
    write(tmp_path, reference_manifest())
    config.write_text("# a comment\n" + config.read_text().replace("  ", "      "))
    assert "search/config.pbtxt differs" not in differences(tmp_path, reference_manifest())


def _files(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


def test_both_targets_hold_the_same_repository(bundle: Bundle, tmp_path: Path) -> None:
    embedded = deploy(bundle, tmp_path / "e", "embedded")
    container = deploy(bundle, tmp_path / "c", "container")
    assert _files(embedded) == _files(container)
    _, mismatch, errors = filecmp.cmpfiles(embedded, container, sorted(_files(embedded)), shallow=False)
    assert (mismatch, errors) == ([], [])
    assert not any(path.is_symlink() for path in tmp_path.rglob("*"))


def test_the_container_needs_nothing_of_this_checkout(bundle: Bundle, tmp_path: Path) -> None:
    repository = deploy(bundle, tmp_path / "c", "container")
    packages = sysconfig.get_path("purelib")
    run = subprocess.run(
        [sys.executable, "-S", "-c", _IMPORT_ALL, str(tmp_path / "c/python"), packages, str(repository)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.split() == ["GalleryIndex", "GalleryLookup", "GallerySearch", "TokenizerBackend", "VideoDecoder"]
    requirements = (tmp_path / "c/requirements.txt").read_text()
    assert "lancedb" in requirements
    assert "pytriton" not in requirements
    script = tmp_path / "c/run.sh"
    assert script.stat().st_mode & 0o111
    assert subprocess.run(["bash", "-n", str(script)], check=False).returncode == 0


def test_a_folder_in_use_is_not_written_into(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("keep")
    with pytest.raises(BundleError, match="is not empty"):
        deploy(bundle, tmp_path, "embedded")
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
