"""What a stranger's bundle may not say, and what a bundle's folder may not hold."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from framesift.__main__ import main
from framesift.export.bundle.errors import BundleError
from framesift.export.bundle.manifest import Manifest
from framesift.export.bundle.manifest_checks import check_manifest
from framesift.export.bundle.store import MANIFEST, Bundle, seal
from framesift.serving.repository.render import reference_manifest

Change = Callable[[dict[str, Any]], object]
VOCABULARY = "merges.txt.gz"
REFERENCE = reference_manifest()
FILES = {**{f"{graph}.onnx": "0" * 64 for graph in REFERENCE.graphs}, VOCABULARY: "0" * 64}
WHOLE = replace(REFERENCE, fingerprint="0" * 64, files=FILES)


def changed(change: Change) -> Manifest:
    values = json.loads(WHOLE.to_json())
    change(values)
    return Manifest.from_json(json.dumps(values))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A bundle's folder, but for what its graphs hold."""
    root = tmp_path / "bundle"
    root.mkdir()
    for name in FILES:
        (root / name).write_bytes(name.encode())
    seal(root, WHOLE)
    return root


def test_a_whole_manifest_is_let_in(folder: Path) -> None:
    assert check_manifest(WHOLE) == WHOLE
    assert Bundle.open(folder).manifest.files.keys() == FILES.keys()


@pytest.mark.parametrize(
    "name",
    ["triton_python_backend_utils.py", "framesift.py", "model.py", "../outside", "/etc/passwd", "merges.txt/x", ""],
)
def test_names_of_files_are_of_a_fixed_set(name: str) -> None:
    with pytest.raises(BundleError, match="tokenizer.files"):
        check_manifest(changed(lambda values: values["tokenizer"].update(files=[name])))
    with pytest.raises(BundleError, match="the manifest's files"):
        check_manifest(changed(lambda values: values["files"].update({name: "0" * 64})))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: v.update(files=[]), "files is \\[\\], it must be an object"),
        (lambda v: v.update(files={}), "lists no like_encoder.onnx, merges.txt.gz, scorer.onnx"),
        (lambda v: v["files"].pop(VOCABULARY), "lists no merges.txt.gz"),
        (lambda v: v["files"].update({"scorer.onnx": 5}), "SHA-256"),
        (lambda v: v["frames"].update(count=1_000_000), "frames.count is 1000000, .* from 1 to 1024"),
        (lambda v: v["frames"].update(size=1_000_000), "frames.size is 1000000"),
        (lambda v: v["frames"].update(count=1024, size=1024), "bytes of one video"),
        (lambda v: v["frames"].update(count=True), "frames.count"),
        (lambda v: v["frames"].update(size=112), "takes frames uint8"),
        (lambda v: v["frames"].update(sampler="os.system"), "frames.sampler"),
        (lambda v: v["frames"].update(mean=[1, 2]), "three numbers"),
        (lambda v: v["frames"].update(std=[1, 2, 10**400]), "three numbers"),
        (lambda v: v["frames"].update(std=[1, 2, float("nan")]), "three numbers"),
        (lambda v: v["tokenizer"].update(kind="pickle"), "tokenizer.kind"),
        (lambda v: v["tokenizer"].update(context_length=10**9), "context_length"),
        (lambda v: v["tokenizer"].update(buckets=[10**9]), "buckets"),
        (lambda v: v["tokenizer"].update(pad_id=10**400), "pad_id is 1000000"),
        (lambda v: v.update(system="x; touch executed"), "system is 'x; touch executed'"),
        (lambda v: v.update(embed_dim="512"), "embed_dim"),
        (lambda v: v.update(options=[]), "options"),
        (lambda v: v.update(parity=[5]), "parity"),
        (lambda v: v["graphs"]["scorer"]["outputs"][0].update(name="../scores"), "names of small letters"),
        (lambda v: v["graphs"]["scorer"]["outputs"][0].update(dims=["queries", 1 << 40]), "dims"),
        (lambda v: v["graphs"]["video_encoder"]["outputs"][0].update(dtype="object"), "dtype"),
        (lambda v: v["graphs"]["video_encoder"]["outputs"][0].update(stored="int8"), "stored"),
        (lambda v: v["graphs"]["video_encoder"].update(outputs=[]), "0 tensors"),
        (lambda v: v["graphs"]["video_encoder"].update(inputs=[]), "0 tensors"),
        (lambda v: v["graphs"].update(scorer=7), "not complete"),
        (lambda v: v.update(graphs={}), "lists the graphs"),
        (lambda v: v.update(format=[4]), "format \\[4\\]"),
        (lambda v: v.update(more=1), "not complete"),
    ],
)
def test_what_is_refused(change: Change, message: str) -> None:
    with pytest.raises(BundleError, match=message):
        check_manifest(changed(change))


@pytest.mark.parametrize("text", ["[]", "5", "null", "[" * 100_000, '{"format": 4}', "\ufeff{}"])
def test_texts_that_are_no_manifest(text: str) -> None:
    with pytest.raises(BundleError):
        Manifest.from_json(text)


@pytest.mark.parametrize("name", ["scorer.onnx", VOCABULARY, MANIFEST])
def test_links_are_refused(name: str, folder: Path) -> None:
    elsewhere = folder.parent / "elsewhere"
    (folder / name).rename(elsewhere)
    (folder / name).symlink_to(elsewhere)
    with pytest.raises(BundleError, match="is a link"):
        Bundle.open(folder)


def test_a_pipe_is_no_file(folder: Path) -> None:
    (folder / "scorer.onnx").unlink()
    os.mkfifo(folder / "scorer.onnx")
    with pytest.raises(BundleError, match="scorer.onnx is missing"):
        Bundle.open(folder)


def test_serve_refuses_before_it_says_ready(folder: Path) -> None:
    values = json.loads((folder / MANIFEST).read_text())
    values["frames"]["count"] = 1_000_000
    (folder / MANIFEST).write_text(json.dumps(values))
    result = CliRunner().invoke(main, ["serve", str(folder), "--gallery", str(folder.parent / "gallery")])
    assert result.exit_code == 1
    assert "frames.count is 1000000" in result.output
    assert "ready" not in result.output
    assert not (folder.parent / "gallery").exists()


ARRAY = {"name": "2d", "dims": ["rows", 6], "optional": False, "zeros": False, "seconds": None}
FEATURES: dict[str, Any] = {"rule": "pooled", "arrays": [ARRAY]}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"rule": "os.system"}, "features.rule is 'os.system', it must be one of"),
        ({"arrays": []}, "features.arrays"),
        ({"arrays": FEATURES["arrays"] * 2}, "features.arrays is .*'2d', '2d'.* of different names"),
        ({"name": "../2d"}, "features.arrays is '../2d', it must be arrays with names of small letters"),
        ({"dims": []}, "features.'2d'.dims is '0 dimensions'"),
        ({"dims": ["rows", 1 << 40]}, "features.'2d'.dims is 1099511627776"),
        ({"dims": ["Rows ", 6]}, "features.'2d'.dims is 'Rows '"),
        ({"optional": 1}, "features.'2d'.optional is 1, it must be true or false"),
        ({"zeros": None}, "features.'2d'.zeros is None, it must be true or false"),
        ({"seconds": -1}, "features.'2d'.seconds is -1, it must be a number above 0"),
    ],
)
def test_what_a_manifest_says_of_features_is_bounded(change: dict[str, Any], said: str) -> None:
    features = {**FEATURES, **{key: value for key, value in change.items() if key in FEATURES}}
    row = {**FEATURES["arrays"][0], **{key: value for key, value in change.items() if key not in FEATURES}}
    features["arrays"] = [row] if not change.keys() & FEATURES.keys() else features["arrays"]
    with pytest.raises(BundleError, match=said):
        check_manifest(changed(lambda values: values.update(features=features)))


def test_a_manifest_says_how_a_video_is_read() -> None:
    with pytest.raises(BundleError, match="neither how frames nor how features are read"):
        check_manifest(changed(lambda values: values.update(frames=None)))
    with pytest.raises(BundleError, match="takes frames, but it has no frame profile"):
        check_manifest(changed(lambda values: values.update(frames=None, features=FEATURES)))
