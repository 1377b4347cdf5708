"""Checkpoints in every form in which they arrive, and those that must be refused."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest
import torch

from framesift.export.build import resolve
from framesift.export.bundle.errors import CheckpointError
from framesift.export.checkpoint import fingerprint, load, save
from framesift.export.encoders.clip import ClipConfig
from framesift.export.systems.contract import System
from framesift.export.systems.dong2026 import Dong2026, Dong2026Config

SMALL = ClipConfig(
    embed_dim=64,
    image_size=32,
    patch=8,
    vision_width=128,
    vision_layers=2,
    text_width=64,
    text_layers=2,
    vocab_size=600,
    context_length=20,
)
OPTIONS = {"frames": 5, "top_k": 3, "heads": 2, "temporal": "transformer", "temporal_layers": 2}


def model() -> Dong2026:
    torch.manual_seed(1)
    return Dong2026(Dong2026Config(**OPTIONS, clip=SMALL)).eval()


def hugging_face(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """OpenAI's names to Hugging Face's, as transformers' conversion script does it."""
    renamed = {}
    for key, value in state.items():
        if not key.startswith("clip."):
            renamed[key] = value
            continue
        name = key.removeprefix("clip.")
        tower = "vision_model" if name.startswith("visual.") else "text_model"
        name = name.removeprefix("visual.")
        if name.startswith("transformer.resblocks."):
            _, _, layer, *rest = name.split(".")
            leaf = ".".join(rest)
            stem = f"clip.{tower}.encoder.layers.{layer}."
            if "in_proj" in leaf:
                for part, chunk in zip("qkv", value.chunk(3), strict=True):
                    renamed[f"{stem}self_attn.{part}_proj.{leaf.rpartition('_')[2]}"] = chunk
                continue
            for old, new in (
                ("attn.out_proj", "self_attn.out_proj"),
                ("ln_1", "layer_norm1"),
                ("ln_2", "layer_norm2"),
                ("mlp.c_fc", "mlp.fc1"),
                ("mlp.c_proj", "mlp.fc2"),
            ):
                leaf = leaf.replace(old, new)
            renamed[stem + leaf] = value
            continue
        target = {
            ("vision_model", "proj"): "visual_projection.weight",
            ("text_model", "text_projection"): "text_projection.weight",
            ("text_model", "logit_scale"): "logit_scale",
            ("vision_model", "class_embedding"): "vision_model.embeddings.class_embedding",
            ("vision_model", "conv1.weight"): "vision_model.embeddings.patch_embedding.weight",
            ("vision_model", "positional_embedding"): "vision_model.embeddings.position_embedding.weight",
            ("text_model", "positional_embedding"): "text_model.embeddings.position_embedding.weight",
            ("text_model", "token_embedding.weight"): "text_model.embeddings.token_embedding.weight",
        }.get((tower, name))
        if target is None:
            for old, new in (
                ("ln_pre", "pre_layrnorm"),
                ("ln_post", "post_layernorm"),
                ("ln_final", "final_layer_norm"),
            ):
                name = name.replace(old, new)
            target = f"{tower}.{name}"
        renamed[f"clip.{target}"] = value.T if "projection" in target else value
    renamed["clip.vision_model.embeddings.position_ids"] = torch.arange(17)[None]
    return renamed


def reference(path: Path, options: dict[str, object]) -> System:
    loaded = resolve(load(path), options).build()
    assert loaded.name == "dong2026"
    return loaded


def outputs(m: System) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(2)
    frames = torch.randint(0, 256, (2, 5, 3, 32, 32), generator=generator, dtype=torch.uint8)
    ids = torch.tensor([[597, 3, 5, 599, 0], [597, 8, 599, 0, 0]])
    with torch.no_grad():
        authors = m.published
        return authors.attend(authors.encode_text(ids), authors.encode_video(frames))


@pytest.mark.parametrize("form", ["safetensors", "torch", "wrapped", "module", "hugging face", "half"])
def test_every_form_loads_to_the_same_model(form: str, tmp_path: Path) -> None:
    original = model()
    state = original.state_dict()
    path = tmp_path / ("model.safetensors" if form == "safetensors" else "model.pt")
    if form == "safetensors":
        save(path, original, original.config.options())
    elif form == "torch":
        torch.save(state, path)
    elif form == "wrapped":
        torch.save({"epoch": 3, "state_dict": state, "optimizer": {"state": {0: {"step": torch.ones(1)}}}}, path)
    elif form == "module":
        torch.save({f"module.{key}": value for key, value in state.items()}, path)
    elif form == "hugging face":
        torch.save(hugging_face(state), path)
    else:
        torch.save({key: value.half() for key, value in state.items()}, path)
    options = {} if form == "safetensors" else OPTIONS
    tolerance = 5e-3 if form == "half" else 0
    for got, want in zip(outputs(reference(path, options)), outputs(original), strict=True):
        torch.testing.assert_close(got, want, atol=tolerance, rtol=0)


def test_every_misfit_is_listed_at_once(tmp_path: Path) -> None:
    state = model().state_dict()
    del state["pool_frames.linear_proj.bias"], state["clip.ln_final.bias"]
    state["pool_frames.layer_norm2.weight"] = torch.ones(65)
    state["extra.weight"] = torch.ones(2, 3)
    torch.save(state, tmp_path / "model.pt")
    with pytest.raises(CheckpointError) as caught:
        reference(tmp_path / "model.pt", OPTIONS)
    message = str(caught.value)
    assert "2 missing, 1 unexpected and 1 mis-shaped" in message
    for line in (
        "missing: pool_frames.linear_proj.bias [64]",
        "missing: clip.ln_final.bias [64]",
        "unexpected: extra.weight [2, 3]",
        "pool_frames.layer_norm2.weight has shape [65], expected [64]",
    ):
        assert line in message


class _Evil:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("writer", [torch.save, lambda value, path: path.write_bytes(pickle.dumps(value))])
def test_a_pickle_that_runs_code_is_refused(writer: object, tmp_path: Path) -> None:
    trap = tmp_path / "executed"
    writer({"state_dict": {"a": torch.ones(1)}, "config": _Evil(trap)}, tmp_path / "evil.pt")  # type: ignore[operator]
    with pytest.raises(CheckpointError, match="could run code"):
        load(tmp_path / "evil.pt")
    assert not trap.exists()


def test_safetensors_are_known_whatever_they_are_called(tmp_path: Path) -> None:
    save(tmp_path / "model_best.pth", model(), OPTIONS)
    loaded = load(tmp_path / "model_best.pth")
    assert loaded.options == OPTIONS
    assert fingerprint(loaded.state, {}) == fingerprint(model().state_dict(), {})


@pytest.mark.parametrize("name", ["cut.pt", "cut.safetensors", "text.pt", "text.safetensors", "empty.pt", "absent.pt"])
def test_a_file_that_is_not_a_checkpoint(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    whole = model()
    if name == "cut.pt":
        torch.save(whole.state_dict(), path)
        path.write_bytes(path.read_bytes()[:5000])
    elif name == "cut.safetensors":
        save(path, whole, {})
        path.write_bytes(path.read_bytes()[:5000])
    elif name.startswith("text"):
        path.write_text("not a checkpoint")
    elif name == "empty.pt":
        torch.save({"epoch": 1}, path)
    with pytest.raises(CheckpointError, match=str(path)):
        load(path)


def test_options_must_not_contradict_the_weights(tmp_path: Path) -> None:
    torch.save(model().state_dict(), tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match="frames is 12 by the options but 5 by the checkpoint"):
        reference(tmp_path / "model.pt", {**OPTIONS, "frames": 12})
    with pytest.raises(CheckpointError, match="top_k is 6"):
        reference(tmp_path / "model.pt", {**OPTIONS, "top_k": 6})


def test_the_fingerprint_is_the_models_and_not_the_files(tmp_path: Path) -> None:
    original = model()
    torch.save({"state_dict": original.state_dict()}, tmp_path / "model.pt")
    loaded = reference(tmp_path / "model.pt", OPTIONS)
    assert fingerprint(loaded.state_dict(), OPTIONS) == fingerprint(original.state_dict(), OPTIONS)
    with torch.no_grad():
        loaded.pool_frames.linear_proj.bias[3] += 1e-6
    assert fingerprint(loaded.state_dict(), OPTIONS) != fingerprint(original.state_dict(), OPTIONS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.to(torch.complex64), "not floating: clip.ln_final.weight is torch.complex64"),
        (lambda t: t.to(torch.int64), "not floating: clip.ln_final.weight is torch.int64"),
        (lambda t: t * float("nan"), "not finite: clip.ln_final.weight holds NaN or infinity"),
        (lambda t: t[:0], "clip.ln_final.weight has shape [0], which holds nothing"),
        (lambda t: t[:1].expand(10**10), "clip.ln_final.weight [10000000000] is larger than the numbers stored"),
    ],
)
def test_weights_that_are_no_weights_are_named(change, message: str, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    state = model().state_dict()
    state["clip.ln_final.weight"] = change(state["clip.ln_final.weight"])
    torch.save({**state, 7: torch.ones(1)}, tmp_path / "model.pt")
    with pytest.raises(CheckpointError) as caught:
        reference(tmp_path / "model.pt", OPTIONS)
    assert message in str(caught.value)


def test_a_model_has_the_files_own_tensors_and_none_that_share_memory(tmp_path: Path) -> None:
    state = model().state_dict()
    # Tied by accident, and views of one tensor: torch stores either once.
    proj = "pool_frames.cross_attn.k_proj"
    state[f"{proj}.weight"] = state[f"{proj.replace('k_proj', 'v_proj')}.weight"]
    both = torch.stack([state[f"{proj}.bias"], state[f"{proj.replace('k_proj', 'v_proj')}.bias"]])
    state[f"{proj}.bias"], state[f"{proj.replace('k_proj', 'v_proj')}.bias"] = both[0], both[1]
    torch.save(state, tmp_path / "tied.pth")
    file = load(tmp_path / "tied.pth")
    before = torch.get_rng_state()
    built = resolve(file, {**OPTIONS}).build()
    assert torch.equal(torch.get_rng_state(), before)  # nothing was drawn only to be replaced
    named = dict(built.named_parameters())
    assert all(torch.equal(value, state[name]) for name, value in named.items())
    places = [value.untyped_storage().data_ptr() for value in named.values()]
    assert len(set(places)) == len(places)
    taken = [name for name, value in named.items() if value.data_ptr() == file.state[name].data_ptr()]
    assert len(taken) > 0.9 * len(named)
    save(tmp_path / "saved.safetensors", built, {})
    assert fingerprint(load(tmp_path / "saved.safetensors").state, {}) == fingerprint(state, {})
