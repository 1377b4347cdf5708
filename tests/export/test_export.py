"""Checkpoint to bundle: what is written, what is refused, and that the check can fail."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from click.testing import CliRunner

from framesift.__main__ import main
from framesift.export import build, commands, parity, parity_rows
from framesift.export.build import build_bundle, eager_system, resolve
from framesift.export.bundle.errors import BundleError, CheckpointError, ParityError
from framesift.export.bundle.manifest import Manifest
from framesift.export.bundle.ports import GRAPHS
from framesift.export.bundle.store import Bundle, seal
from framesift.export.bundle.text.merges_file import write_merges
from framesift.export.bundle.video.resizing import RESIZES
from framesift.export.bundle.video.sampling import SAMPLERS
from framesift.export.checkpoint import fingerprint, load, save
from framesift.export.encoders.clip import ARCHITECTURES, ClipConfig
from framesift.export.systems.dong2026 import Dong2026, Dong2026Config
from framesift.export.systems.options import FLAGS
from framesift.export.systems.registry import AUTO, SYSTEMS

from ..exporting import read_library_once

pytestmark = pytest.mark.long

SMALL = ClipConfig(
    embed_dim=64,
    image_size=32,
    patch=16,
    vision_width=128,
    vision_layers=2,
    text_width=64,
    text_layers=2,
    vocab_size=514,
    context_length=77,
)

# The demo's model, which other tests export, has a transformer over its frames, one head, and chooses among them.
KEEPS_ALL = {"temporal": "positional", "top_k": 6, "heads": 2}


def checkpoint(folder: Path, **options: object) -> Path:
    """A random small model with a vocabulary of bytes."""
    torch.manual_seed(0)
    config = Dong2026Config(**{"frames": 6, "top_k": 3, "temporal_layers": 1, **options}, clip=SMALL)  # type: ignore[arg-type]
    model = Dong2026(config)
    for name, parameter in model.pool_frames.named_parameters():
        if "layer_norm" not in name:
            torch.nn.init.normal_(parameter, std=0.2)
    write_merges(folder / "merges.txt", [])
    path = folder / "model.safetensors"
    save(path, model, config.options(), (folder / "merges.txt").read_text())
    return path


class Bars:
    """Progress bars as a terminal would show them: of every label the length, and the steps as they came."""

    def __init__(self) -> None:
        self.shown: dict[str, tuple[int, list[int]]] = {}

    @contextmanager
    def __call__(self, label: str, length: int) -> Iterator[Callable[[int], None]]:
        self.shown[label] = length, []
        yield self.shown[label][1].append


@pytest.fixture(scope="module")
def bars() -> Bars:
    return Bars()


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory, bars: Bars) -> Bundle:
    read_library_once()
    folder = tmp_path_factory.mktemp("small")
    return build_bundle(checkpoint(folder, **KEEPS_ALL), folder / "bundle", options={}, bar=bars)


def test_the_bars_of_an_export_move_with_its_stages_and_end_full(small: Bundle, bars: Bars) -> None:
    (graphs, written), (length, compared) = bars.shown.values()
    # The exporter says when it has captured, decomposed, translated and optimised each of four graphs.
    assert [steps for steps in written if steps] == [1] * 20
    assert sum(written) == graphs
    assert sum(compared) == length
    assert len(compared) == 9


def test_a_model_that_keeps_every_frame_is_exported_and_agrees(small: Bundle) -> None:
    assert {key: small.manifest.options[key] for key in KEEPS_ALL} == KEEPS_ALL
    system = eager_system(small)
    rows = list(parity.compare_graphs(system, small.root))
    assert len(rows) == parity.comparisons(system) == 19
    assert all(row.ok for row in rows)


def test_what_is_in_a_bundle(small: Bundle) -> None:
    manifest = small.manifest
    assert sorted(manifest.files) == [
        "like_encoder.onnx",
        "merges.txt",
        "scorer.onnx",
        "text_encoder.onnx",
        "video_encoder.onnx",
        "weights.safetensors",
    ]
    assert Manifest.from_json(manifest.to_json()) == manifest
    assert (manifest.frames.count, manifest.frames.size, manifest.embed_dim) == (6, 32, 64)
    assert manifest.tokenizer.buckets == (16, 32, 77)
    assert set(manifest.versions) == {"opset", "python", "framesift", "torch", "onnx", "onnxruntime"}
    assert len(manifest.fingerprint) == 64
    for graph in ("video_encoder", "text_encoder", "scorer", "like_encoder"):
        opsets = {entry.domain: entry.version for entry in onnx.load(str(small.graph(graph))).opset_import}
        assert opsets[""] >= 18


def test_the_same_checkpoint_gives_the_same_fingerprint(small: Bundle, tmp_path: Path) -> None:
    prints = []
    for heads in (2, 1):
        resolved = resolve(load(checkpoint(tmp_path, **{**KEEPS_ALL, "heads": heads})), {})
        options = {**resolved.kept, "sampler": "uniform_middle", "resize": "pil_bicubic"}
        prints.append(fingerprint(resolved.build().state_dict(), options))
    assert prints[0] == small.manifest.fingerprint
    assert prints[1] != small.manifest.fingerprint


def spoil(bundle: Bundle, folder: Path, graph: str) -> Bundle:
    """A copy of the bundle in which one weight of a graph is off, and whose hashes are right."""
    for path in bundle.root.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    model = onnx.load(str(folder / f"{graph}.onnx"))
    weight = max(model.graph.initializer, key=lambda t: int(np.prod(t.dims)) * (t.data_type == 1))
    values = onnx.numpy_helper.to_array(weight).copy()
    values *= 1.01
    weight.CopyFrom(onnx.numpy_helper.from_array(values, weight.name))
    onnx.save(model, str(folder / f"{graph}.onnx"))
    seal(folder, bundle.manifest)
    return Bundle.open(folder)


@pytest.mark.parametrize("graph", ["video_encoder", "text_encoder"])
def test_check_finds_a_weight_that_is_one_per_cent_off(graph: str, small: Bundle, tmp_path: Path) -> None:
    spoilt = spoil(small, tmp_path, graph)
    result = CliRunner().invoke(main, ["check", str(spoilt.root)])
    assert result.exit_code == 1
    breaches = [line for line in result.output.splitlines() if line.endswith("BREACH")]
    assert breaches
    assert all(line.startswith(graph) for line in breaches)


def test_check_passes_on_fresh_inputs_and_prints_a_table(small: Bundle) -> None:
    result = CliRunner().invoke(main, ["check", str(small.root)])
    assert result.exit_code == 0, result.output
    assert result.output.count(" ok") == 19


def test_a_bundle_that_fails_its_check_is_not_finished(
    small: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The same checkpoint has the same graphs, and to write them is what takes long.
    monkeypatch.setattr(
        build, "write_graphs", lambda _, folder, done: [shutil.copy(small.graph(name), folder) for name in GRAPHS]
    )
    # No graph is exact to the last bit, so a limit of nothing stands for a graph that is wrong.
    monkeypatch.setattr(parity_rows, "RMS_LIMIT", 0.0)
    with pytest.raises(ParityError, match="video_encoder"):
        build_bundle(checkpoint(tmp_path, **KEEPS_ALL), tmp_path / "bundle", options={})
    assert {path.name for path in tmp_path.iterdir()} == {"merges.txt", "model.safetensors"}


def test_a_reference_of_zeros_is_compared_absolutely() -> None:
    zeros = torch.zeros(2, 3, dtype=torch.float64)
    assert parity_rows.row("scalars", np.zeros((2, 3), np.float32), zeros).ok
    assert not parity_rows.row("scalars", np.full((2, 3), 1e-3, np.float32), zeros).ok


def test_nan_is_a_breach() -> None:
    assert not parity_rows.Row("stage", float("nan"), 0.0).ok
    assert not parity_rows.Row("stage", 0.0, 0.0, overlap=float("nan")).ok


def test_damage_is_listed_file_by_file(small: Bundle, tmp_path: Path) -> None:
    for path in small.root.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "scorer.onnx").unlink()
    raw = bytearray((tmp_path / "merges.txt").read_bytes())
    raw[3] ^= 1
    (tmp_path / "merges.txt").write_bytes(raw)
    with pytest.raises(BundleError, match=r"merges.txt has changed .*; scorer.onnx is missing"):
        Bundle.open(tmp_path)
    (tmp_path / "manifest.json").write_text('{"format": 99}')
    with pytest.raises(BundleError, match="format 99"):
        Bundle.open(tmp_path)
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(BundleError, match="can't be read"):
        Bundle.open(tmp_path)


def test_what_exists_is_not_overwritten(small: Bundle, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("keep me")
    for overwrite in (False, True):
        with pytest.raises(BundleError, match="exists already"):
            build_bundle(checkpoint(tmp_path), precious, options={}, overwrite=overwrite)
    assert (precious / "file").read_text() == "keep me"
    with pytest.raises(BundleError, match="--overwrite"):
        build_bundle(checkpoint(tmp_path), small.root, options={})


def test_a_vocabulary_of_another_size_is_refused(tmp_path: Path) -> None:
    write_merges(tmp_path / "other.txt", ["a b", "ab c"])
    with pytest.raises(CheckpointError, match="knows 514 tokens and the vocabulary .*other.txt makes 516"):
        build_bundle(checkpoint(tmp_path), tmp_path / "bundle", options={}, merges=tmp_path / "other.txt")
    assert not (tmp_path / "bundle").exists()


@pytest.mark.parametrize(
    ("name", "parameters"), [("ViT-B/32", 151_277_313), ("ViT-B/16", 149_620_737), ("ViT-L/14", 427_616_513)]
)
def test_towers_have_openais_names_and_sizes(name: str, parameters: int) -> None:
    with torch.device("meta"):
        model = Dong2026(Dong2026Config(temporal="none", clip=ARCHITECTURES[name]))
    state = {key: value for key, value in model.state_dict().items() if key.startswith("clip.")}
    assert sum(value.numel() for value in state.values()) == parameters
    assert ClipConfig.from_state(state) == ARCHITECTURES[name]
    if name == "ViT-B/32":
        assert len(state) == 302
        assert state["clip.visual.proj"].shape == (768, 512)
        assert state["clip.visual.transformer.resblocks.11.attn.in_proj_weight"].shape == (2304, 768)


def test_options_that_make_no_model() -> None:
    for bad in ({"top_k": 13}, {"top_k": 0}, {"heads": 5}, {"temporal": "sometimes"}):
        with pytest.raises(ValueError, match=r"top_k|heads|temporal"):
            replace(Dong2026Config(), **bad)  # type: ignore[arg-type]


def test_the_command_offers_what_there_is() -> None:
    choices = {option.name: getattr(option.type, "choices", ()) for option in commands.export_command.params}
    assert tuple(choices["system"]) == (AUTO, *SYSTEMS)
    assert set(choices["sampler"]) == set(SAMPLERS)
    assert set(choices["resize"]) == set(RESIZES)
    assert {option.name for option in FLAGS} <= set(choices)
