"""Recognising published systems, loading them from every form of file, and what holds for all of them."""

from __future__ import annotations

import sys
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from framesift.export.build import resolve
from framesift.export.bundle.errors import CheckpointError
from framesift.export.checkpoint import load, normalised
from framesift.export.graphs import random_video_inputs
from framesift.export.systems import dgl
from framesift.export.systems.contract import System
from framesift.export.systems.examples import FRAMES as F
from framesift.export.systems.examples import MAX_TOKENS as W
from framesift.export.systems.examples import examples, small_system
from framesift.export.systems.inspection import inspect
from framesift.export.systems.registry import AUTO

from ..small_systems import asked_as, given_options

V, Q = 3, 4
EXAMPLES = examples()
FILMS = {name: card.preprocessing.frames for name, (card, _) in EXAMPLES.items() if card.preprocessing.frames}
MASKED = [name for name, frames in FILMS.items() if frames.missing == "mask"]


def build(state: Mapping[str, Tensor], options: Mapping[str, Any] | None = None, system: str = AUTO) -> System:
    """The model of a state_dict in any spelling, and of options."""
    return inspect(normalised(state), system, options or {}).resolve(options).build()


def inputs(made: System) -> tuple[list[Tensor], Tensor]:
    """What ``encode_video`` and ``encode_text`` take: whole and padded clips, texts of several lengths."""
    generator = torch.Generator().manual_seed(5)
    if made.features is not None:
        return list(random_video_inputs(made, V, generator)), made.random_token_ids(Q, W, generator)
    size = (V, *made.video_inputs[0].shape)
    video: list[Tensor] = [torch.randint(0, 256, size, generator=generator, dtype=torch.uint8)]
    for port in made.video_inputs[1:]:
        if port.name == "mask":
            video.append((torch.arange(F) < torch.tensor([[F], [3], [1]])).float())
        else:
            video.append(torch.randn(V, *port.dims, generator=generator))
    return video, made.random_token_ids(Q, W, generator)


def outputs(made: Any) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...], Tensor]:
    video, ids = inputs(made)
    with torch.no_grad():
        text, clips = made.encode_text(ids), made.encode_video(*video)
        return text, clips, made.score(text, clips)


@pytest.mark.parametrize("name", EXAMPLES)
def test_records_are_what_the_system_says(name: str) -> None:
    made = small_system(name)
    text, video, scores = outputs(made)
    for record, promised, rows in ((text, made.text_record, Q), (video, made.video_record, V)):
        assert [tuple(t.shape) for t in record] == [(rows, *p.dims) for p in promised]
        assert all(str(t.dtype) == f"torch.{p.dtype}" for t, p in zip(record, promised, strict=True))
    assert scores.shape == (Q, V)
    assert scores.dtype == torch.float32
    assert scores.isfinite().all()
    assert scores.unique().numel() == Q * V
    # Where frames are clips, an example has so many clips of so many frames.
    clips = given_options(name).get("clips", 0) * made.together
    assert made.frames == (clips or (F if name in FILMS else 0))


@pytest.mark.parametrize("name", EXAMPLES)
def test_one_at_a_time_equals_the_batch(name: str) -> None:
    made = small_system(name).double()
    video, ids = inputs(made)
    video = [tensor.double() if tensor.is_floating_point() else tensor for tensor in video]
    with torch.no_grad():
        text, clips = made.encode_text(ids), made.encode_video(*video)
        scores = made.score(text, clips)
        for q in range(Q):
            one = made.encode_text(ids[q : q + 1])
            for v in range(V):
                alone = made.score(one, made.encode_video(*(tensor[v : v + 1] for tensor in video)))
                torch.testing.assert_close(alone[0, 0], scores[q, v], atol=1e-11, rtol=0)


@pytest.mark.parametrize("name", FILMS)
def test_normalised_pixels_give_what_uint8_gives(name: str) -> None:
    made = small_system(name)
    video, _ = inputs(made)
    with torch.no_grad():
        pixels = made.standardise(video[0])
        # Where the deviation is 1, the authors only take the mean off.
        assert pixels.abs().max() * min(FILMS[name].std) < 3 * 70
        for got, want in zip(made.encode_video(pixels, *video[1:]), made.encode_video(*video), strict=True):
            torch.testing.assert_close(got, want)


@pytest.mark.parametrize("name", MASKED)
def test_what_is_in_a_padded_frame_does_not_matter(name: str) -> None:
    made = small_system(name)
    video, ids = inputs(made)
    mask = video[1].bool()[:, :, None, None, None]
    changed = torch.where(mask, video[0], 255 - video[0])
    with torch.no_grad():
        text = made.encode_text(ids)
        scores = [made.score(text, made.encode_video(frames, *video[1:])) for frames in (video[0], changed)]
    assert torch.equal(*scores)


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_models_own_weights_and_options_make_it_again(name: str) -> None:
    made = small_system(name)
    state = made.state_dict()
    card, _ = EXAMPLES[name]
    # Another system's weights are that system's until it is asked for by its name, or by an option that is its own.
    system = AUTO if card.implied or any(sign.given for sign in card.signs) else asked_as(name, state)
    resolved = inspect(state, system, given_options(name)).resolve(given_options(name))
    assert resolved.options.items() >= given_options(name).items()
    again = inspect(state, system, resolved.kept).resolve(resolved.kept).build()
    assert type(again) is type(made)
    assert again.state_dict().keys() == state.keys()
    assert torch.equal(outputs(again)[2], outputs(made)[2])


def authors_form(name: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """What only the authors' files hold: unused tensors, and STAN's names."""
    extra = {
        "clip4clip seqLSTM": ["frame_position_embeddings.weight"],
        "clip4clip seqTransf": ["cross.pooler.dense.weight", "similarity_dense.bias"],
        "ts2net": ["visual_prompt_encoder.conv1.weight", "text_token_selector.score_predictor.in_conv.1.bias"],
        "rvtr": ["uncertainty.head.weight", "identifier.scale", "cross.pooler.dense.weight"],
        "dgl linear": ["clip.visual.position_ids", "clip.visual.frame_embedding"],
    }
    state = {**state, **{key: torch.ones(2, 2) for key in extra.get(name, [])}}
    if "stan" not in name:
        return state
    renamed = {}
    for key, value in state.items():
        stem, _, leaf = key.rpartition(".")
        if "in_proj" in leaf:
            for part, chunk in zip("qkv", value.chunk(3), strict=True):
                renamed[f"{stem}.{part}_proj.{leaf.rpartition('_')[2]}"] = chunk
        else:
            renamed[key] = value.T if key in ("clip.visual.proj", "clip.text_projection") else value
    pairs = (
        ("clip.visual.proj", "backbone.visual_projection.weight"),
        ("clip.visual.conv1", "backbone.patch_embedding"),
        ("clip.visual.positional_embedding", "backbone.position_embedding.weight"),
        ("clip.visual.ln_pre", "backbone.pre_layrnorm"),
        ("clip.visual.ln_post", "backbone.post_layernorm"),
        ("clip.visual.transformer.resblocks", "backbone.layers"),
        ("clip.visual", "backbone"),
        ("clip.text_projection", "text_backbone.text_projection.weight"),
        ("clip.token_embedding", "text_backbone.text_model.embeddings.token_embedding"),
        ("clip.positional_embedding", "text_backbone.text_model.embeddings.position_embedding.weight"),
        ("clip.ln_final", "text_backbone.text_model.final_layer_norm"),
        ("clip.transformer.resblocks", "text_backbone.text_model.encoder.layers"),
        (".attn", ".self_attn"),
        ("ln_1", "layer_norm1"),
        ("ln_2", "layer_norm2"),
        ("mlp.c_fc", "mlp.fc1"),
        ("mlp.c_proj", "mlp.fc2"),
    )
    result = {}
    for key, value in renamed.items():
        for ours, theirs in pairs:
            key = key.replace(ours, theirs)
        result[key] = value
    return result


@pytest.mark.parametrize("form", ["bare", "wrapped", "module", "half", "gamma"])
@pytest.mark.parametrize("name", EXAMPLES)
def test_every_form_of_file_loads_to_the_same_model(name: str, form: str, tmp_path: Path) -> None:
    made = small_system(name)
    state = authors_form(name, made.state_dict())
    if form == "half":
        # As the authors of CLIP4Clip store it: matrices in half precision, the rest not.
        mixed = {key: value.half() if value.dim() > 1 else value for key, value in made.state_dict().items()}
        made.load_state_dict({key: value.float() for key, value in mixed.items()})
        state = authors_form(name, mixed)
    if form == "gamma":
        norms = {key.rpartition(".")[0] for key in state if "ln_" in key or "layer_norm" in key}
        state = {
            key.replace(".weight", ".gamma").replace(".bias", ".beta")
            if key.rpartition(".")[0] in norms
            else key: value
            for key, value in state.items()
        }
    if form == "module":
        state = {f"module.{key}": value for key, value in state.items()}
    file: Any = {
        "epoch": 3,
        "state_dict": state,
        "optimizer": {"state": {0: {"step": torch.ones(1)}}, "param_groups": []},
    }
    torch.save(file if form == "wrapped" else state, tmp_path / "model.bin")
    loaded = load(tmp_path / "model.bin")
    card, _ = EXAMPLES[name]
    assert inspect(normalised(state), given=given_options(name)).card.name == (card.page or card.name)
    assert torch.equal(outputs(build(loaded.state, given_options(name)))[2], outputs(made)[2])
    again = normalised(loaded.state)
    assert again.keys() == loaded.state.keys()
    assert all(torch.equal(again[key], loaded.state[key]) for key in again)


def test_what_was_found_and_what_was_not_is_told_with_reasons() -> None:
    state = normalised(authors_form("ts2net", small_system("ts2net").state_dict()))
    resolved = inspect(state).resolve({"frames": F})
    text = resolved.describe(resolved.inspection.card.preprocessing.of(resolved.build()))
    for line in (
        "ts2net: it has TS2-Net's visual_token_selector",
        "header = seqTransf: there is transformerClip",
        "shift_layers = (1,): blocks of the vision tower whose attention lies in attn.net",
        "top_k = 3: the number of patches chosen is not in the weights",
        "5 frames by second_steps, short side to 56 by pil_bicubic",
        "not read by the authors' inference: visual_prompt_encoder.conv1, text_token_selector.score_predictor",
    ):
        assert line in text
    found = inspect(small_system("xclip").state_dict()).found
    assert (found["max_tokens"], found["frames"], found["layers"]) == (W, F, 2)
    assert inspect(small_system("dgl transformer").state_dict()).found["frames"] == F


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("xclip", {"word_mat_weight": torch.ones(W, W + 1)}, "mis-shaped: word_mat_weight has shape [20, 21]"),
        ("xclip", {"clip.visual.conv1.weight": torch.ones(3)}, "clip.visual.conv1.weight has shape [3]"),
        ("xclip", {"clip.visual.positional_embedding": torch.ones(51, 64)}, "51 rows, which is no square and one"),
        ("clip4clip meanP", {"head.weight": torch.ones(2)}, "unexpected: head.weight [2]"),
        ("clip4clip meanP", {"clip.ln_final.weight": None}, "it has no clip.ln_final.weight"),
        (
            "clip4clip seqTransf",
            {"transformerClip.resblocks.1.ln_2.bias": None},
            "missing: transformerClip.resblocks.1",
        ),
        ("dgl transformer", {"clip.unified_prompt_embedding.weight": torch.ones(9, 128)}, "9 rows"),
        ("stan", {"clip.visual.STAN_time_embed.weight": None}, "it has no clip.visual.STAN_time_embed.weight"),
    ],
)
def test_misfits_are_refused_with_what_was_recognised(name: str, change: dict[str, Any], message: str) -> None:
    state = {key: value for key, value in {**small_system(name).state_dict(), **change}.items() if value is not None}
    with pytest.raises(CheckpointError) as caught:
        build(state, given_options(name))
    assert f"recognised as {name.split()[0]} (it has" in str(caught.value)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"header": "meanP"}, "header is meanP by the options but seqTransf by the checkpoint's weights"),
        ({"top_k": 3}, "clip4clip has no option top_k; it has frames, header, heads"),
        ({"frames": 34}, "34 frames make 34 tokens for seqTransf, its weights hold 33 positions"),
        ({"vision_heads": 5}, "5 heads don't divide the width 64"),
        ({"frames": 0}, "frames is 0, it must be a whole number of at least 1"),
        ({"frames": 1.5}, "frames is 1.5, it must be a whole number"),
        ({"max_tokens": 78}, "max_tokens is 78, its text tower has 77 positions"),
    ],
)
def test_options_that_do_not_fit_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        build(small_system("clip4clip seqTransf").state_dict(), options)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("mugstan", {"tau": "sharp"}, "tau is 'sharp', it must be a number above 0"),
        ("ts2net", {"sigma": float("nan")}, "sigma is nan, it must be a number above 0"),
        ("ts2net", {"samples": -1}, "samples is -1, it must be a whole number of at least 0"),
        ("dgl linear", {"output": 5}, "output is 5, it must be a name"),
        ("dgl linear", {"output": "best"}, "output is 'best', it must be one of global_prompt0"),
    ],
)
def test_settings_of_another_kind_are_refused(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        build(small_system(name).state_dict(), {**given_options(name), **options})


def test_a_system_that_was_asked_for_is_held_to_the_weights() -> None:
    state = small_system("xclip").state_dict()
    with pytest.raises(CheckpointError, match="as was asked for, though by its tensors it is xclip") as caught:
        build(state, {"frames": F, "max_tokens": W}, "clip4clip")
    assert "unexpected: global_mat_weight" in str(caught.value)
    with pytest.raises(CheckpointError, match="there is no system vit: framesift knows dong2026"):
        inspect(state, "vit")


def test_a_training_log_beside_the_weights_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """STAN's files, by mmengine, hold buffers of numpy numbers; where framesift runs there is no mmengine."""
    name = "mmengine.logging.history_buffer"
    module = types.ModuleType(name)
    buffer = type("HistoryBuffer", (), {"__module__": name})
    module.HistoryBuffer = buffer  # type: ignore[attr-defined]
    with monkeypatch.context() as patch:
        for depth in (1, 2, 3):
            patch.setitem(sys.modules, ".".join(name.split(".")[:depth]), module)
        log = buffer()
        log.losses, log.count = np.arange(5.0), np.float64(3)
        state = authors_form("mugstan", small_system("mugstan").state_dict())
        torch.save({"meta": {"epoch": 5}, "state_dict": state, "message_hub": {"loss": log}}, tmp_path / "epoch_5.pth")
    assert inspect(load(tmp_path / "epoch_5.pth").state).card.name == "stan"


def test_an_unknown_checkpoint_is_refused_with_what_it_holds() -> None:
    with pytest.raises(CheckpointError, match=r"holds encoder\.layer, head\.weight: framesift knows dong2026, xpool"):
        build({"encoder.layer.0.weight": torch.ones(2), "head.weight": torch.ones(2)})


def test_ts2nets_frames_are_masked_by_other_frames_as_its_authors_have_it() -> None:
    made = small_system("ts2net")
    video, _ = inputs(made)
    with torch.no_grad():
        frames, mask = made.encode_video(*video)
        quiet = made.encode_video(*video[:2])[0]
    assert torch.equal(mask, video[1][:, [4 * f % F for f in range(F)]])
    torch.testing.assert_close(frames.norm(dim=-1), torch.ones(V, F))
    assert not torch.allclose(frames, quiet, atol=1e-4)


@pytest.mark.parametrize("output", dgl.OUTPUTS)
def test_dgls_video_is_the_output_asked_for(output: str) -> None:
    state = small_system("dgl linear").state_dict()
    made: Any = build(state, {**given_options("dgl linear"), "output": output})
    video, _ = inputs(made)
    with torch.no_grad():
        got = made.encode_video(*video)[0]
        shared, frames = made.clip.embed_clips(made.clip.visual.normalise(video[0]))
    want = {
        "global_prompt0": shared[:, :1],
        "average_global_prompt": shared,
        "average_frame_cls_token": frames,
        "average_global_prompt_and_frame_cls_token": torch.cat([shared, frames], 1),
    }[output].mean(1)
    torch.testing.assert_close(got, want / want.norm(dim=-1, keepdim=True))


def test_mug_stan_leaves_out_positions_without_a_token() -> None:
    made = small_system("mugstan")
    _, ids = inputs(made)
    with torch.no_grad():
        words = made.encode_text(ids)[0]
    assert torch.equal(words.norm(dim=-1) > 0.5, ids != 0)


def test_xclip_takes_exactly_its_own_number_of_words() -> None:
    with pytest.raises(ValueError, match="19 token positions, the weights are for exactly 20"):
        small_system("xclip").encode_text(torch.ones(1, W - 1, dtype=torch.long))


def test_an_option_of_another_system_does_not_choose_it_unasked(tmp_path: Path) -> None:
    """X-Pool's weights are the reference model's too, with another resize: who wants that has to say so."""
    torch.save(small_system("xpool").state_dict(), tmp_path / "model_best.pth")
    file = load(tmp_path / "model_best.pth")
    with pytest.raises(CheckpointError, match=r"top_k is no option of xpool.*--system dong2026"):
        resolve(file, {"top_k": 4, "frames": F})
    assert resolve(file, {"top_k": 4, "frames": F}, "dong2026").inspection.card.name == "dong2026"
    assert resolve(file, {"frames": F}).inspection.card.name == "xpool"


def test_given_found_and_assumed_are_told_apart(tmp_path: Path) -> None:
    torch.save(small_system("xpool").state_dict(), tmp_path / "model_best.pth")
    # A value that is given is said to be, though it is what would have been assumed.
    resolved = resolve(load(tmp_path / "model_best.pth"), {"frames": 12})
    told = resolved.describe(resolved.inspection.card.preprocessing.of(resolved.build())).split("\n")
    given, assumed = told.index("  as given:"), told.index("  assumed, can be given:")
    assert told[given + 1 : assumed] == ["    frames = 12"]
    assert told[assumed + 1].startswith("    heads = 1: ")
