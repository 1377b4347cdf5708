"""What is brought in the place of a checkpoint, folders with several files, and models that lie deeper in a file."""

from __future__ import annotations

import gzip
import json
import os
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from framesift.export.bundle.errors import CheckpointError
from framesift.export.checkpoint import load, normalised
from framesift.export.checkpoints.choosing import state_of
from framesift.export.checkpoints.parts import folder_of, parts_of
from framesift.export.systems.examples import examples, small_system
from framesift.export.systems.inspection import inspect
from framesift.export.vocabulary import vocabulary_beside

from ..small_systems import write_checkpoint

STATE = {
    "clip.visual.conv1.weight": torch.arange(24.0).reshape(2, 3, 2, 2),
    "clip.ln_final.weight": torch.linspace(0, 1, 7),
    "pool_frames.k_proj.weight": torch.eye(3),
    **{f"pool_frames.part{n}.bias": torch.full((2,), float(n)) for n in range(20)},
}
# A name, what the file holds, and what is said of it.
OTHERS: Mapping[str, tuple[bytes, str]] = {
    "empty.pth": (b"", "the file is empty"),
    "page.pth": (b"\n<!DOCTYPE html><html>Can't scan for viruses", "it is a web page"),
    "lfs.safetensors": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "pointer of Git LFS"),
    "packed.pth": (gzip.compress(b"x" * 99), "compressed by gzip: unpack it first"),
    "text.bin": (b"a note", "it does not begin as files of torch, Paddle and safetensors do"),
    "short.safetensors": (b"\x20\0\0\0\0\0\0\0{", "not a whole safetensors file"),
    "cut.safetensors": (
        (46).to_bytes(8, "little") + b'{"a":{"dtype":"F32","data_offsets":[0,400]}}  ',
        "has 54 bytes of 454",
    ),
}
_TORCHLESS = """
import sys
sys.modules["torch"] = None
from click.testing import CliRunner
from framesift.__main__ import main
for name in sys.argv[1:]:
    run = CliRunner().invoke(main, ["export", name, "--out", "bundle"])
    print(f"{name}\\t{run.exit_code}\\t{ascii(run.output)}")
"""


def test_what_is_no_checkpoint_is_told_before_torch_is_there(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(300)}, tmp_path / "whole.pth")
    (tmp_path / "cut.pth").write_bytes((tmp_path / "whole.pth").read_bytes()[:900])
    with zipfile.ZipFile(tmp_path / "folder.pth", "w") as archive:
        archive.writestr("weights/model.pth", b"x")
    os.mkfifo(tmp_path / "pipe.pth")
    (tmp_path / "loop.pth").symlink_to("loop.pth")
    (tmp_path / "none").mkdir()
    for name, (content, _) in OTHERS.items():
        (tmp_path / name).write_bytes(content)
    said = {
        **{name: words for name, (_, words) in OTHERS.items()},
        "absent.pth": "there is no checkpoint at absent.pth",
        "cut.pth": "not a whole torch file",
        "folder.pth": "no data.pkl",
        "pipe.pth": "it is no file",
        "loop.pth": "Too many levels of symbolic links",
        "none": "the folder none holds no weights",
    }
    # Only this one is a checkpoint, for which torch is needed.
    said["whole.pth"] = "this command needs torch"
    command = [sys.executable, "-c", _TORCHLESS, *said]
    run = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert run.returncode == 0, run.stderr
    lines = [line.split("\t") for line in run.stdout.splitlines()]
    assert [line[0] for line in lines] == list(said)
    for name, code, told in lines:
        assert (code, said[name] in told) == ("1", True), (name, told)
    assert not (tmp_path / "bundle").exists()


def write_parts(folder: Path, state: Mapping[str, Tensor], index: str, name: str) -> None:
    """The tensors of ``state`` in three files and their index, as transformers writes them."""
    folder.mkdir(exist_ok=True)
    where = {}
    for number in range(3):
        part = {key: value.contiguous() for place, (key, value) in enumerate(state.items()) if place % 3 == number}
        file = name.format(number + 1)
        where |= dict.fromkeys(part, file)
        save_file(part, folder / file) if file.endswith("safetensors") else torch.save(part, folder / file)
    (folder / index).write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": where}))


def assert_same(state: Mapping[str, Tensor]) -> None:
    assert state.keys() == STATE.keys()
    assert all(torch.equal(state[key], value) for key, value in STATE.items())


@pytest.mark.parametrize(
    ("index", "name"),
    [
        ("model.safetensors.index.json", "model-{:05d}-of-00003.safetensors"),
        ("pytorch_model.bin.index.json", "pytorch_model-{:05d}-of-00003.bin"),
    ],
)
def test_a_folder_of_several_files_is_one_checkpoint(index: str, name: str, tmp_path: Path) -> None:
    folder = tmp_path / "clip"
    write_parts(folder, {f"module.{key}": value.bfloat16().float() for key, value in STATE.items()}, index, name)
    (folder / "config.json").write_text("{}")
    for path in (folder, folder / index):
        read = load(path).state
        assert read.keys() == STATE.keys()
        assert all(torch.equal(read[key], value.bfloat16().float()) for key, value in STATE.items())
    (folder / name.format(2)).unlink()
    with pytest.raises(CheckpointError, match="names files that are not there: .*00002-of-00003.*Fetch them too"):
        load(folder)


def test_a_folder_is_read_where_it_holds_one_checkpoint(tmp_path: Path) -> None:
    torch.save(STATE, tmp_path / "epoch_3.pth")
    torch.save({"step": 1}, tmp_path / "optimizer.pt")
    assert_same(load(tmp_path).state)
    torch.save(STATE, tmp_path / "epoch_4.pth")
    with pytest.raises(CheckpointError, match=r"several checkpoints: name one of them, epoch_3.pth, epoch_4.pth"):
        load(tmp_path)
    save_file(STATE, tmp_path / "model.safetensors")
    assert_same(load(tmp_path).state)


def test_a_folder_of_clip4clips_training_is_read(tmp_path: Path) -> None:
    """It has the weights and the optimizer of every epoch, whose number ends their names."""
    torch.save(STATE, tmp_path / "pytorch_model.bin.3")
    for name in ("pytorch_opt.bin.3", "pytorch_opt.bin"):
        torch.save({"epoch": 3, "optimizer_state_dict": {"state": {}}}, tmp_path / name)
    (tmp_path / "log.txt").write_text("Epoch 4/5 Finished")
    (tmp_path / "pytorch_model.bin.3.tmp").write_bytes(b"x")
    assert_same(load(tmp_path).state)
    assert_same(load(tmp_path / "pytorch_model.bin.3").state)
    torch.save(STATE, tmp_path / "pytorch_model.bin.4")
    with pytest.raises(CheckpointError, match=r"name one of them, pytorch_model.bin.3, pytorch_model.bin.4$"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"weight_map": {"a": "../secret.bin"}}', "names '../secret.bin', which is no file beside it"),
        ('{"weight_map": {"a": "/etc/passwd"}}', "which is no file beside it"),
        ('{"weight_map": {"a": 5}}', "names '5', which is no file beside it"),
        ('{"weight_map": {}}', "names 0 files"),
        ("[1]", "no index of weights"),
        ("{", "no index of weights"),
    ],
)
def test_an_index_names_files_beside_it_and_no_others(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin.index.json").write_text(text)
    with pytest.raises(CheckpointError, match=said):
        parts_of(tmp_path)


def prefixed(prefix: str) -> dict[str, Tensor]:
    return {prefix + key: value for key, value in STATE.items()}


Wrap = Callable[[], Any]
WRAPPED: Mapping[str, Wrap] = {
    "an attribute of their own": lambda: {"state_dict": {**prefixed("retriever."), "loss.scale": torch.ones(1)}},
    "two attributes": lambda: prefixed("lit.retriever."),
    "Lightning's own and an attribute": lambda: prefixed("_forward_module.retriever."),
    "sharded": lambda: {key.replace("clip.", "clip._fsdp_wrapped_module."): value for key, value in STATE.items()},
    "torch's average": lambda: {**prefixed("module."), "n_averaged": torch.tensor(7)},
    "an average alone": lambda: prefixed("ema_model."),
    "an average beside": lambda: {**STATE, **{f"ema.{key}": value + 1 for key, value in STATE.items()}},
    "a key of their own": lambda: {"weights": dict(STATE), "optim": {"state": {0: {"a": torch.ones(2)}}}, "epoch": 3},
}


@pytest.mark.parametrize("name", WRAPPED)
def test_the_model_is_found_where_it_lies(name: str, tmp_path: Path) -> None:
    torch.save(WRAPPED[name](), tmp_path / "m.pth")
    read = load(tmp_path / "m.pth")
    assert_same(read.state)
    assert len(read.notes) == (name not in ("sharded", "torch's average"))


CONFIG = {"name": "ViT-B/32", "layers": {"text": 12, "loss": {}}}
# Mappings in which something else has a wrapper's name, or in which other tensors lie beside the model's.
MISLEADING: Mapping[str, Wrap] = {
    "a configuration called model": lambda: {"model": CONFIG, "net": dict(STATE)},
    "a configuration and a key of their own": lambda: {"model": CONFIG, "weights": dict(STATE)},
    "a configuration beside an average": lambda: {"model": CONFIG, "ema": dict(STATE)},
    "a configuration among the weights": lambda: {**STATE, "model": CONFIG},
    "a wrapper in a wrapper": lambda: {"model": {"args": CONFIG, "state_dict": dict(STATE)}},
    "a number that is a tensor": lambda: {"epoch": 3, "best": torch.tensor(0.4), "weights": dict(STATE)},
    "such a number and an average": lambda: {"best": torch.ones(1), "weights": dict(STATE), "ema": dict(STATE)},
    "an optimizer among the weights": lambda: {**STATE, "optimizer": {"state": {0: {"exp_avg": torch.ones(2)}}}},
    "statistics among the weights": lambda: {**STATE, "pixels": {"mean": torch.ones(3), "std": torch.ones(3)}},
    "an average among the weights": lambda: {**STATE, "ema": {**prefixed("x."), "decay": torch.ones(1)}},
}


@pytest.mark.parametrize("name", MISLEADING)
def test_only_what_holds_tensors_is_taken_for_the_model(name: str, tmp_path: Path) -> None:
    torch.save(MISLEADING[name](), tmp_path / "m.pth")
    assert_same(load(tmp_path / "m.pth").state)


def test_a_mapping_held_many_times_is_looked_at_once() -> None:
    """Each of these mappings holds the next a thousand times: all ways through them would be 10^24."""
    inner: dict[str, Any] = {"a": 1}
    for _ in range(8):
        inner = {f"k{number}": inner for number in range(1000)}
    with pytest.raises(CheckpointError, match="it is no state_dict"):
        state_of({"model": inner, "net": inner}, None)


def test_which_of_several_is_the_model_has_to_be_said(tmp_path: Path) -> None:
    torch.save({"generator": dict(STATE), "critic": dict(STATE)}, tmp_path / "m.pth")
    with pytest.raises(CheckpointError, match=r"by name in generator, critic: say which are the model's \(--key\)"):
        load(tmp_path / "m.pth")
    assert_same(load(tmp_path / "m.pth", key="critic").state)
    torch.save({**prefixed("one."), **prefixed("other.")}, tmp_path / "m.pth")
    with pytest.raises(CheckpointError, match=r"say what \(--prefix\)"):
        inspect(load(tmp_path / "m.pth").state)


def test_baidus_file_has_its_frameworks_prefix(tmp_path: Path) -> None:
    """PaddleVideo keeps ActBERT in the attribute ``backbone``, as Clover keeps its vision tower."""
    arrays = {f"backbone.bert.encoder.c_layer.{n}.x.bias": np.ones(2, np.float32) for n in range(3)}
    (tmp_path / "ActBERT.pdparams").write_bytes(pickle.dumps(arrays, protocol=4))
    read = load(tmp_path / "ActBERT.pdparams")
    assert list(read.state) == [key.removeprefix("backbone.") for key in arrays]
    assert read.notes == ("weights: the tensors under backbone. were taken",)


def test_what_belongs_to_a_checkpoint_may_lie_in_its_folder(tmp_path: Path) -> None:
    file, vocabulary = write_checkpoint("frozen", tmp_path)
    for path in (file, tmp_path):
        assert vocabulary_beside(folder_of(path), "wordpiece") == vocabulary


def in_every_form(state: dict[str, Tensor], folder: Path) -> Mapping[str, Path]:
    """Files of what training code and Hugging Face's libraries make of a model."""
    lightning = {f"model._orig_mod.{key}": value for key, value in state.items()}
    scaled = {"module": {f"module.{key}": value for key, value in state.items()}, "ds_version": "0.14", "mp": 1}
    saved: Mapping[str, Any] = {
        "deepspeed.pt": scaled,
        "lightning.ckpt": {"state_dict": lightning, "hyper_parameters": {"lr": 1e-4}, "loops": {}, "epoch": 2},
        "compiled.pth": {f"_orig_mod.{key}": value for key, value in state.items()},
        "averaged.pth": {"n_averaged": torch.tensor(3), **{f"module.{key}": value for key, value in state.items()}},
        "deeper.pth": {"state_dict": {f"task.retriever.{key}": value for key, value in state.items()}},
        "legacy.pth": state,
    }
    for name, value in saved.items():
        torch.save(value, folder / name, _use_new_zipfile_serialization=name != "legacy.pth")
    save_file({key: value.contiguous() for key, value in state.items()}, folder / "bare.safetensors")
    write_parts(folder / "parts", state, "model.safetensors.index.json", "model-{:05d}-of-00003.safetensors")
    return {name: folder / name for name in (*saved, "bare.safetensors", "parts")}


@pytest.mark.parametrize("name", examples())
def test_every_system_is_read_from_every_form(name: str, tmp_path: Path) -> None:
    state = {
        key: value.bfloat16() if value.is_floating_point() else value.clone()
        for key, value in small_system(name).state_dict().items()
    }
    wanted = normalised(state)
    for form, path in in_every_form(state, tmp_path).items():
        read = load(path).state
        assert read.keys() == wanted.keys(), form
        assert all(torch.equal(read[key], value) for key, value in wanted.items()), form
