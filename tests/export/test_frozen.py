"""Frozen in Time and MAC: their authors' files, other variants, vocabularies, and attention by its definition."""

from __future__ import annotations

import pathlib
import sys
import types
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from framesift.export.build import build_bundle, resolve
from framesift.export.bundle.errors import CheckpointError
from framesift.export.bundle.manifest import BERT_CLEANING
from framesift.export.bundle.text.vocab_file import write_vocab
from framesift.export.checkpoint import Checkpoint, load, normalised
from framesift.export.encoders.bert import Bert
from framesift.export.encoders.space_time import DividedAttention, SpaceTimeVit, VitConfig
from framesift.export.systems.bert import SMALL_BERT, SMALL_PIECES
from framesift.export.systems.examples import small_system
from framesift.export.systems.frozen import SMALL, Frozen
from framesift.export.systems.inspection import inspect
from framesift.export.vocabulary import tokenizer_files, vocabulary_beside

from ..small_systems import given_options


def authors_file(path: Path, state: dict[str, Tensor], patch: pytest.MonkeyPatch) -> None:
    """As the authors' trainer leaves it: the configuration's object beside the weights, of a class of its own."""
    module = types.ModuleType("parse_config")
    made = type("ConfigParser", (), {"__module__": "parse_config"})
    module.ConfigParser = made  # type: ignore[attr-defined]
    config = made()
    config.__dict__.update(
        resume=None,
        _config={"arch": {"type": "FrozenInTime"}, "trainer": {"max_samples_per_epoch": 9000, "init_val": True}},
        _save_dir=pathlib.PosixPath("exps/models"),
        log_levels={0: 30, 1: 20, 2: 10},
    )
    with patch.context() as patched:
        patched.setitem(sys.modules, "parse_config", module)
        file = {
            "arch": "FrozenInTime",
            "epoch": 7,
            "state_dict": {f"module.{key}": value for key, value in state.items()},
            "optimizer": {"state": {0: {"step": 4, "exp_avg": torch.ones(3)}}, "param_groups": [{"lr": 3e-5}]},
            "monitor_best": 0.1,
            "config": config,
        }
        torch.save(file, path)


def test_a_file_with_the_authors_configuration_loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = small_system("frozen")
    authors_file(tmp_path / "checkpoint-epoch7.pth", made.state_dict(), monkeypatch)
    loaded = load(tmp_path / "checkpoint-epoch7.pth")
    assert loaded.state.keys() == made.state_dict().keys()
    resolved = resolve(loaded, given_options("frozen"))
    assert resolved.inspection.card.name == "frozen"
    assert dict(resolved.inspection.found) == {"moments": 3, "attention": "divided"}


def test_frames_are_as_many_as_the_table_has_unless_they_are_given() -> None:
    state = small_system("frozen").state_dict()
    assert resolve(Checkpoint(state), {}).options["frames"] == 3
    for frames in (1, 2, 5):
        made = inspect(state).resolve({"frames": frames}).build()
        assert made.frames == frames
        assert made.encode_video(torch.zeros(1, frames, 3, 32, 32, dtype=torch.uint8))[0].shape == (1, 24)


@pytest.mark.parametrize(
    ("name", "system", "change", "said"),
    [
        ("mac", "frozen", {}, "though by its tensors it is mac.*its attention is not divided. See --system mac"),
        ("frozen", "auto", {"video_model.pos_embed": torch.ones(1, 16, 48)}, "16 rows, which is no square and one"),
        ("frozen", "auto", {"video_model.norm.bias": None}, r"missing: video_model.norm.bias \[48\]"),
        ("frozen", "auto", {"text_model.embeddings.word_embeddings.weight": None}, "it has no text_model.embeddings"),
        ("frozen", "auto", {"head.weight": torch.ones(2)}, r"unexpected: head.weight \[2\]"),
        ("frozen", "auto", {"video_model.temporal_embed": torch.ones(3)}, "which should have 3 dimensions"),
    ],
)
def test_misfits_are_refused_with_what_was_recognised(
    name: str, system: str, change: dict[str, Any], said: str
) -> None:
    state = {key: value for key, value in {**small_system(name).state_dict(), **change}.items() if value is not None}
    with pytest.raises(CheckpointError, match=rf"(?s)recognised as frozen \(.*{said}"):
        inspect(normalised(state), system).resolve().build()


def test_positions_beyond_the_tables_are_refused() -> None:
    with pytest.raises(CheckpointError, match="max_tokens is 41, its text tower has 40 positions"):
        inspect(small_system("frozen").state_dict()).resolve({"max_tokens": 41}).build()


def test_a_model_without_its_vocabulary_says_what_to_bring(tmp_path: Path) -> None:
    torch.save(small_system("frozen").state_dict(), tmp_path / "model.pth")
    said = r"recognised as frozen \(.*knows 79 tokens and the vocabulary .*gz makes 30522: put the vocab.txt .*--vocab"
    with pytest.raises(CheckpointError, match=said):
        build_bundle(tmp_path / "model.pth", tmp_path / "bundle", options={})
    (tmp_path / "vocab.txt").write_text("no\npieces\n")
    with pytest.raises(CheckpointError, match=r"recognised as frozen \(.*no vocabulary of word pieces"):
        build_bundle(tmp_path / "model.pth", tmp_path / "bundle", options={})
    assert not (tmp_path / "bundle").exists()


def test_the_vocabulary_beside_the_checkpoint_is_taken(tmp_path: Path) -> None:
    write_vocab(tmp_path / "vocab.txt", SMALL_PIECES)
    (tmp_path / "out").mkdir()
    made = small_system("frozen")
    sizes = {"vocab_size": made.vocab_size, "max_tokens": 20, "kind": "wordpiece"}
    found = vocabulary_beside(tmp_path, "wordpiece")
    profile = tokenizer_files(Checkpoint({}), found, tmp_path / "out", **sizes)  # type: ignore[arg-type]
    assert (profile.files, profile.cleaning, profile.buckets) == (("vocab.txt",), BERT_CLEANING, (16, 20))
    assert (tmp_path / "out" / "vocab.txt").read_bytes() == (tmp_path / "vocab.txt").read_bytes()
    assert vocabulary_beside(tmp_path / "out", "clip_bpe") is vocabulary_beside(tmp_path.parent, "wordpiece") is None


@torch.no_grad()
def test_a_bert_is_read_at_its_pooler() -> None:
    torch.manual_seed(0)
    config = replace(SMALL, text=SMALL_BERT, distilled=False)
    made = Frozen(config, 4, 20).eval()
    state = made.state_dict()
    again: Any = inspect(normalised(state)).resolve().build()
    assert isinstance(again.text_model, Bert)
    ids = torch.tensor([[2, 9, 8, 3, 0]])
    hidden = again.text_model(ids)[0, 0]
    pooled = torch.tanh(hidden @ state["text_model.pooler.dense.weight"].T + state["text_model.pooler.dense.bias"])
    want = pooled.relu() @ state["txt_proj.1.weight"].T + state["txt_proj.1.bias"]
    torch.testing.assert_close(again.encode_text(ids)[0][0], want / want.norm())


def plain_attention(made: DividedAttention, x: Tensor, reads: Tensor) -> Tensor:
    """Attention of [N, W] in which row i reads those j where ``reads`` [N, N] is true, head by head."""
    q, k, v = made.qkv(x).chunk(3, -1)
    size = x.shape[1] // made.heads
    heads = []
    for part in (slice(head * size, (head + 1) * size) for head in range(made.heads)):
        logits = (q[:, part] @ k[:, part].T / size**0.5).masked_fill(~reads, -torch.inf)
        heads.append(logits.softmax(-1) @ v[:, part])
    return made.proj(torch.cat(heads, -1))


@pytest.mark.parametrize("time", [True, False])
@torch.no_grad()
def test_divided_attention_reads_its_group_and_the_class_token(time: bool) -> None:
    torch.manual_seed(1)
    frames, patches = 3, 4
    made = DividedAttention(12, 2).double()
    x = torch.randn(2, 1 + frames * patches, 12, dtype=torch.float64)
    place = torch.arange(frames * patches)
    group = place % patches if time else place // patches
    reads = torch.ones(len(place) + 1, len(place) + 1, dtype=torch.bool)
    reads[1:, 1:] = group[:, None] == group
    got = made.divided(x, frames, time=time)
    for row, want in zip(got, x, strict=True):
        torch.testing.assert_close(row, plain_attention(made, want, reads))


@torch.no_grad()
def test_joint_attention_reads_all_patches_of_all_frames() -> None:
    torch.manual_seed(2)
    config = VitConfig(width=16, layers=1, patch=4, image_size=8, moments=3, inside=32, divided=False, heads=2)
    made = SpaceTimeVit(config).double()
    clip = torch.randn(1, 3, 3, 8, 8, dtype=torch.float64)
    got = made(clip)
    # The order of the patches is nothing to it once they have their places.
    token, patches = made.place(clip)
    block: Any = made.blocks[0]
    shuffled = patches.flatten(1, 2)[:, torch.randperm(12)]
    torch.testing.assert_close(made.norm(block(torch.cat([token, shuffled], 1))[:, 0]), got)
    changed = clip.clone()
    changed[0, 2, :, 7, 7] += 1
    assert not torch.allclose(made(changed), got)
