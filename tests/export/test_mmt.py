"""MMT: its authors' file with a pickled configuration, and checkpoints that are damaged or of another variant."""

from __future__ import annotations

import pathlib
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from framesift.export.build import build_bundle, resolve
from framesift.export.bundle.errors import CheckpointError
from framesift.export.bundle.features.checks import check_arrays
from framesift.export.bundle.features.reading import feature_inputs
from framesift.export.checkpoint import Checkpoint, load
from framesift.export.systems.examples import small_system

from ..small_systems import given_options

SYSTEM = small_system("mmt")
OPTIONS = given_options("mmt")


def write(path: Path, patch: pytest.MonkeyPatch) -> None:
    """A checkpoint as the authors' trainer writes it; where framesift runs there is no parse_config."""
    module = types.ModuleType("parse_config")
    made = type("ConfigParser", (), {"__module__": "parse_config"})
    module.ConfigParser = made  # type: ignore[attr-defined]
    config = made()
    config.__dict__.update(_config={"arch": {"type": "CENet"}}, _save_dir=pathlib.PosixPath("exps"), resume=None)
    pooler = {"vid_bert.pooler.dense.weight": torch.ones(48, 48), "txt_bert.pooler.dense.bias": torch.ones(64)}
    positions = {"txt_bert.embeddings.position_ids": torch.arange(40)[None]}
    file = {
        "arch": "CENet",
        "epoch": 50,
        "state_dict": {**SYSTEM.state_dict(), **pooler, **positions},
        "optimizer": {"state": {0: {"step": 4, "exp_avg": torch.ones(3)}}, "param_groups": [{"lr": 5e-5}]},
        "monitor_best": 0.2,
        "config": config,
        "n_samples": 9000,
        "n_steps": 50,
    }
    with patch.context() as patched:
        patched.setitem(sys.modules, "parse_config", module)
        torch.save(file, path)


def test_a_file_with_the_authors_configuration_loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "trained_model.pth", monkeypatch)
    resolved = resolve(load(tmp_path / "trained_model.pth"), OPTIONS)
    assert resolved.inspection.card.name == "mmt"
    assert resolved.inspection.unused == ("vid_bert.pooler.dense.weight", "txt_bert.pooler.dense.bias")
    again = resolved.build().state_dict()
    assert all(torch.equal(again[key], value) for key, value in SYSTEM.state_dict().items())


def test_without_its_vocabulary_it_says_what_to_bring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "trained_model.pth", monkeypatch)
    with pytest.raises(CheckpointError) as raised:
        build_bundle(tmp_path / "trained_model.pth", tmp_path / "bundle", options=OPTIONS)
    assert "recognised as mmt (it has MMT's video_dim_reduce)" in str(raised.value)
    assert "put the vocab.txt that it was trained with beside it, or pass it (--vocab)" in str(raised.value)
    assert not (tmp_path / "bundle").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"video_dim_reduce.smell.fc.weight": torch.ones(48, 5)}, "its expert 'smell' is none of the authors'"),
        ({"vid_bert.embeddings.token_type_embeddings.weight": torch.ones(4, 48)}, "its table of experts has 4 rows"),
        ({"vid_bert.embeddings.position_embeddings.weight": None}, "it has no vid_bert.embeddings.position_embeddings"),
        ({"txt_bert.embeddings.word_embeddings.weight": None}, "it has no txt_bert.embeddings.word_embeddings"),
        ({"text_GU.rgb.cg.batch_norm.running_var": None}, "missing: text_GU.rgb.cg.batch_norm.running_var"),
        ({"moe_fc_txt.face.weight": torch.ones(1, 9)}, "mis-shaped: moe_fc_txt.face.weight"),
        ({"moe_fc_vid.face.weight": torch.ones(1, 9)}, "unexpected: moe_fc_vid.face.weight"),
    ],
)
def test_what_is_damaged_or_another_variant_is_refused(change: dict[str, Any], said: str) -> None:
    state = {key: value for key, value in {**SYSTEM.state_dict(), **change}.items() if value is not None}
    with pytest.raises(CheckpointError) as raised:
        resolve(Checkpoint(state), OPTIONS).build()
    assert "recognised as mmt (it has MMT's video_dim_reduce)" in str(raised.value)
    assert said in str(raised.value)


def test_a_file_may_have_times_of_every_expert_and_those_of_two_are_read() -> None:
    ports = {port.name: port for port in SYSTEM.video_inputs}
    experts = SYSTEM.experts  # type: ignore[attr-defined]
    rows = {name: np.full((3, SYSTEM.sizes.dims[name]), 0.5, np.float32) for name in experts}  # type: ignore[attr-defined]
    times = {f"{name}.times": np.full((3, 2), 20, np.float32) for name in experts}
    assert SYSTEM.features is not None
    made = feature_inputs(check_arrays({**rows, **times}, SYSTEM.features), SYSTEM.features, ports)
    seen = dict(zip(experts, made["features_t"][:, :3].tolist(), strict=True))
    assert (seen["s3d"], seen["vggish"], seen["face"]) == ([22] * 3, [22] * 3, [1] * 3)
    np.testing.assert_allclose(seen["rgb"], [2.1, 2.3, 2.5], rtol=1e-6)


def test_a_missing_expert_has_a_vector_and_none_sees_it() -> None:
    model = SYSTEM.double()
    generator = torch.Generator().manual_seed(3)
    *features, times, present = (
        torch.randn(1, *port.shape, generator=generator).double() for port in model.video_inputs
    )
    present, times = torch.ones_like(present), times.abs() * 9
    present[:, 0] = 0
    with torch.no_grad():
        one = model.embed_video(*features, times, present)  # type: ignore[operator]
        features[0] = torch.randn_like(features[0])
        other = model.embed_video(*features, times, present)  # type: ignore[operator]
    torch.testing.assert_close(one[:, 1:], other[:, 1:], atol=1e-12, rtol=0)
    assert not torch.allclose(one[:, 0], other[:, 0])
    torch.testing.assert_close(one.norm(dim=-1), torch.ones(1, 4).double())
