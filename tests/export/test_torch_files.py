"""torch's files, read as data: archives with scripts, old streams, wrappers and prefixes, and bombs."""

from __future__ import annotations

import sys
import types
import zipfile
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from framesift.export.bundle.errors import CheckpointError
from framesift.export.checkpoint import load
from framesift.export.checkpoints.faults import Damaged, Forbidden
from framesift.export.checkpoints.known_globals import Inert, find
from framesift.export.checkpoints.pickle_reader import PickleReader

from ..attacks.files import scripted

STATE = {
    "clip.visual.conv1.weight": torch.arange(24.0).reshape(2, 3, 2, 2),
    "clip.ln_final.weight": torch.linspace(0, 1, 7),
    "pool_frames.k_proj.weight": torch.eye(3),
}
Wrap = Callable[[Mapping[str, Tensor]], Any]


def prefixed(prefix: str) -> Wrap:
    return lambda state: {prefix + key: value for key, value in state.items()}


def assert_same(state: Mapping[str, Tensor]) -> None:
    assert state.keys() == STATE.keys()
    assert all(torch.equal(state[key], value) for key, value in STATE.items())


@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "stream"])
def test_whatever_torch_writes_is_read(protocol: int, zipped: bool, tmp_path: Path) -> None:
    tied = torch.ones(4, 6, dtype=torch.bfloat16)
    state = {
        **STATE,
        "turned": tied.T,
        "part": tied[1:3, ::2],
        "parameter": torch.nn.Parameter(torch.randn(3)),
        "flags": torch.tensor([True, False]),
        "whole": torch.tensor(7),
        "eighths": torch.ones(3).to(torch.float8_e4m3fn),
        "nothing": torch.empty(0, 5),
    }
    file = {"state_dict": state, "rate": 1e-3, "seen": {1, 2}, "size": torch.Size([2]), "big": 1 << 70, "b": b"x"}
    path = tmp_path / "m.pt"
    torch.save(file, path, pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
    read = load(path).state
    assert read.keys() == state.keys()
    for key, value in state.items():
        wanted = value.float() if value.is_floating_point() else value
        assert torch.equal(read[key], wanted), key


class Tagged:
    """Its objects take an argument by name, which protocol 4 and later have an instruction for."""

    def __new__(cls, *, tag: str) -> Tagged:
        return super().__new__(cls)

    def __getnewargs_ex__(self) -> tuple[tuple[()], dict[str, str]]:
        return (), {"tag": "x"}


# Values that training code keeps beside weights, whose classes are called otherwise in old protocols.
BESIDE: Mapping[str, Any] = {
    "defaults": [defaultdict(kind, a=kind()) for kind in (list, dict, int, float, str, set, tuple)],
    "classes": [bool, bytes, complex, dict, float, int, list, object, range, str, tuple, type(None)],
    "frozen": frozenset({1, 2}),
    "complex": 1 + 2j,
    "raw": [bytearray(b"abc"), bytearray(), b"abc", b"", bytearray(3000)],
    "slice": slice(1, 5, 2),
    "range": range(1 << 60),
    "arrays": [np.arange(9.0), np.arange(6).reshape(2, 3).T, np.zeros(0), np.float32(3), np.array(["a", "b"])],
    "random": np.random.RandomState(3).get_state(),
    "long": 1 << 9000,
}


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("name", BESIDE)
def test_built_in_values_may_lie_beside_the_weights(name: str, protocol: int, tmp_path: Path) -> None:
    torch.save({"state_dict": STATE, "beside": BESIDE[name]}, tmp_path / "m.pt", pickle_protocol=protocol)
    assert_same(load(tmp_path / "m.pt").state)


def test_an_argument_by_name_calls_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Tagged, "__module__", "yacs.config")
    module = types.ModuleType("yacs.config")
    module.Tagged = Tagged  # type: ignore[attr-defined]
    with monkeypatch.context() as patched:
        patched.setitem(sys.modules, "yacs", module)
        patched.setitem(sys.modules, "yacs.config", module)
        torch.save({"state_dict": STATE, "beside": Tagged(tag="x")}, tmp_path / "m.pt", pickle_protocol=4)
    assert_same(load(tmp_path / "m.pt").state)


@pytest.mark.parametrize("name", ["eval", "exec", "getattr", "open", "__import__", "compile", "setattr"])
def test_no_other_built_in_is_known_by_its_old_name(name: str) -> None:
    for module in ("__builtin__", "builtins", "__builtins__"):
        with pytest.raises(Forbidden, match=name):
            find(module, name)


@pytest.mark.parametrize(
    "made",
    [
        b"c__builtin__\nbytearray\n\x8a\x06\0\0\0\0\0\x7f\x85R.",
        b"c__builtin__\nlist\nc__builtin__\nxrange\n\x8a\x06\0\0\0\0\0\x7f\x85R\x85R.",
        b"cnumpy.core.numeric\n_frombuffer\nC\x01x\x8a\x06\0\0\0\0\0\x7f\x86R.",
    ],
)
def test_sizes_that_a_file_asks_for_are_not_allocated(made: bytes) -> None:
    assert isinstance(PickleReader(b"\x80\x02" + made).read(), Inert)


@pytest.mark.parametrize(
    "cut", [b"\x96\xff\xff\xff\xff\xff\xff\xff\x7f", b"\x8b\xff\xff\xff\x7f", b"\x8b\xff\xff\xff\xff"]
)
def test_a_length_beyond_the_file_is_damage(cut: bytes) -> None:
    with pytest.raises(Damaged, match="ends too early"):
        PickleReader(b"\x80\x05" + cut + b"abc.").read()


def test_a_scripted_archive_loads_as_its_state_dict(tmp_path: Path) -> None:
    path = scripted(STATE, tmp_path / "ViT.pt")
    with zipfile.ZipFile(path) as archive:
        records = {name: archive.read(name) for name in archive.namelist()}
    assert any("/code/" in name for name in records)
    # A script that can't be compiled would fail in any reader that looks at it.
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in records.items():
            archive.writestr(name, b"import os; os.abort()" if "/code/" in name else data)
    read = load(path).state
    assert read.keys() == STATE.keys()
    assert all(torch.equal(read[key], value.half().float()) for key, value in STATE.items())


@pytest.mark.parametrize(
    "wrap",
    [
        prefixed("module."),
        prefixed("_orig_mod."),
        prefixed("module._orig_mod."),
        prefixed("_orig_mod.module."),
        prefixed("model."),
        prefixed("model._orig_mod."),
        prefixed("net."),
        prefixed("student."),
        lambda s: {key.replace("clip.", "clip._orig_mod."): value for key, value in s.items()},
        lambda s: {"module": dict(s), "ds_version": "0.9"},
        lambda s: {"model_state": dict(s)},
        lambda s: {"model": {"state_dict": prefixed("module.")(s)}},
        lambda s: {"state_dict": {**prefixed("model.")(s), "loss.logit_scale": torch.ones(1)}, "callbacks": {}},
        lambda s: {**prefixed("student.")(s), **{f"teacher.{key}": value + 1 for key, value in s.items()}},
        lambda s: {"model": dict(s), "ema": {key: value + 1 for key, value in s.items()}},
        lambda s: {"ema": dict(s)},
        lambda s: {**s, "optimizer": {f"{key}.exp_avg{n}": value for key, value in s.items() for n in range(2)}},
    ],
)
def test_wrappers_and_prefixes_are_found(wrap: Wrap, tmp_path: Path) -> None:
    torch.save(wrap(STATE), tmp_path / "m.pth")
    assert_same(load(tmp_path / "m.pth").state)


def test_which_of_two_models_was_taken_is_said(tmp_path: Path) -> None:
    averaged = {key: value + 1 for key, value in STATE.items()}
    torch.save({"model": STATE, "ema": {"module": averaged}}, tmp_path / "m.pth")
    taken = load(tmp_path / "m.pth")
    assert taken.notes == ("weights: model was taken; there is also ema (--key ema)",)
    other = load(tmp_path / "m.pth", key="ema").state
    assert all(torch.equal(other[key], value) for key, value in averaged.items())
    with pytest.raises(CheckpointError, match="there is no best in it; there is model, ema"):
        load(tmp_path / "m.pth", key="best")


def test_a_prefix_that_nobody_knows_can_be_given(tmp_path: Path) -> None:
    torch.save({**prefixed("towers.a.")(STATE), **prefixed("towers.b.")(STATE)}, tmp_path / "m.pth")
    assert len(load(tmp_path / "m.pth").state) == 6
    for prefix in ("towers.a", "towers.a."):
        read = load(tmp_path / "m.pth", prefix=prefix)
        assert_same(read.state)
        assert read.notes == ("weights: the tensors under towers.a. were taken, not towers",)
    with pytest.raises(CheckpointError, match="no tensor's name begins with best."):
        load(tmp_path / "m.pth", prefix="best")


def test_a_file_that_unpacks_to_more_is_refused(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(1 << 20)}, tmp_path / "m.pt")
    with zipfile.ZipFile(tmp_path / "m.pt") as archive:
        records = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(tmp_path / "small.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in records.items():
            archive.writestr(name, data)
    assert (tmp_path / "small.pt").stat().st_size < 20_000
    with pytest.raises(CheckpointError, match="compressed, which torch's never is"):
        load(tmp_path / "small.pt")


def test_numbers_that_have_changed_are_found(tmp_path: Path) -> None:
    path = tmp_path / "m.pt"
    torch.save(STATE, path)
    raw = bytearray(path.read_bytes())
    place = raw.find(STATE["clip.ln_final.weight"].numpy().tobytes())
    raw[place + 9] ^= 1
    path.write_bytes(raw)
    with pytest.raises(CheckpointError, match="has changed since it was written"):
        load(path)


def test_many_names_of_one_tensor_are_no_bomb(tmp_path: Path) -> None:
    big = torch.zeros(1 << 20)
    torch.save({f"layer{number}": big for number in range(5000)}, tmp_path / "m.pt")
    with pytest.raises(CheckpointError, match="its tensors claim 20971520000 bytes"):
        load(tmp_path / "m.pt")


def test_a_name_is_no_control_sequence(tmp_path: Path) -> None:
    torch.save({"\x1b[2Jclip": torch.ones(1)}, tmp_path / "m.pt")
    with pytest.raises(CheckpointError, match="which is no name"):
        load(tmp_path / "m.pt")


@pytest.mark.parametrize("text", ["[]", "5", "[" * 50_000, "{", '"x"'])
def test_odd_options_in_a_file(text: str, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"a": torch.ones(1)}, tmp_path / "m.safetensors", metadata={"framesift.options": text})
    with pytest.raises(CheckpointError, match="its options are"):
        load(tmp_path / "m.safetensors")
