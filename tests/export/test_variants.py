"""Variants that the authors' code has beside what they published with, made of what that code gave in their cases."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from framesift.export.bundle.errors import CheckpointError
from framesift.export.bundle.ports import VIDEO_EMBEDDING, VIEWS_EMBEDDING
from framesift.export.checkpoint import normalised
from framesift.export.systems.examples import examples, small_system
from framesift.export.systems.frozen import SMALL
from framesift.export.systems.inspection import inspect

from ..small_systems import asked_as, given_options
from .golden_cases import CASES, Case
from .golden_features import mmt_graph_inputs


def variant(case: Case, **options: Any) -> Any:
    """The model of a case's weights with other options than the case's."""
    return inspect(normalised(case.state)).resolve({**case.options, **options}).build().double()


def allowed(case: Case, name: str) -> float:
    """Three times what the authors' own float32 run was off, and the rounding of what is stored."""
    return 3 * case.meta["max_abs_fp32_vs_fp64"][name] + 2.0**-23 * float(case[f"out.{name}"].abs().max())


@pytest.mark.parametrize(("system", "meta"), [case for case in CASES if case.values[0] == "mmt"])
@torch.no_grad()
def test_missing_experts_leave_a_score_to_the_others(system: str, meta: Path) -> None:
    case = Case(system, meta)
    ids, inputs = mmt_graph_inputs(case)
    model = variant(case, keep_missing_modalities=False)
    text, video = model.encode_text(ids), model.encode_video(*inputs)
    scores, shares = model.score(text, video), case["out.text_weights"]
    there = torch.stack([case[f"in.features_ind.{name}"].amax(1) for name in model.experts], 1).bool()
    for q, (vectors, weights) in enumerate(zip(case["out.text_embds"], shares, strict=True)):
        for v, (films, known) in enumerate(zip(case["out.vid_embds"], there, strict=True)):
            each = [
                (float(w), float(a @ b)) for w, a, b, has in zip(weights, vectors, films, known, strict=True) if has
            ]
            want = sum(w * product for w, product in each) / sum(w for w, _ in each)
            # A share is divided by what is there, and so is what it is off.
            assert abs(float(scores[q, v]) - want) <= allowed(case, "sims") / sum(w for w, _ in each)
    torch.testing.assert_close(video[1], there.double())
    kept = case.model.score(case.model.encode_text(ids), case.model.encode_video(*inputs))
    whole = there.all(1)
    torch.testing.assert_close(scores[:, whole], kept[:, whole])
    if not whole.all():
        assert not torch.allclose(scores[:, ~whole], kept[:, ~whole])


def test_some_case_has_a_missing_expert() -> None:
    files = [meta for system, meta in (case.values for case in CASES) if system == "mmt"]  # type: ignore[misc]
    cases = [Case("mmt", meta) for meta in files]  # type: ignore[arg-type]
    masks = [case[key] for case in cases for key in case.tensors if key.startswith("in.features_ind.")]
    assert any((mask.amax(1) == 0).any() for mask in masks)


VECTORS = [case for case in CASES if case.values[0] == "all_in_one"]


@pytest.mark.parametrize(("system", "meta"), VECTORS)
@torch.no_grad()
def test_a_video_that_is_seen_by_several_views_has_their_mean_cosine(system: str, meta: Path) -> None:
    case = Case(system, meta)
    if "out.sims" not in case.tensors:
        with pytest.raises(CheckpointError, match="has no option views"):
            variant(case, views=2)
        return
    clips, sims = case["in.video"], case["out.sims"]
    for chosen in ([0, 1, 2], [3, 0], [1]):
        model = variant(case, head="vtc", views=len(chosen))
        # Of each part of the video a frame of every view: those of as many of the case's videos.
        seen = clips[chosen].transpose(0, 1).flatten(0, 1)[None]
        assert model.frames == seen.shape[1] == len(chosen) * clips.shape[1]
        video = model.encode_video(seen)
        scores = model.score(model.encode_text(case["in.input_ids"]), video)[:, 0]
        assert (scores - sims[:, chosen].mean(1)).abs().max() <= allowed(case, "sims")
        assert model.video_record[0].name == (VIDEO_EMBEDDING if len(chosen) == 1 else VIEWS_EMBEDDING)


def test_only_vectors_are_averaged_over_views() -> None:
    state = normalised(small_system("all_in_one both").state_dict())
    for head in ("both", "irtr"):
        with pytest.raises(CheckpointError, match=f"views is 3, and head {head} reads one: pass head=vtc"):
            inspect(state).resolve({"head": head, "views": 3, "heads": 1}).build()
    with pytest.raises(CheckpointError, match="it must be true or false"):
        inspect(normalised(small_system("mmt").state_dict())).resolve({"keep_missing_modalities": 0})


@torch.no_grad()
def test_frozens_other_projection_is_none() -> None:
    card, _ = examples()["frozen"]
    sizes = replace(SMALL, text=replace(SMALL.text, width=48), embed_dim=48, projection="none")
    made = card.model(sizes, {"frames": 3, "moments": 3})
    state = made.state_dict()
    assert not any("_proj." in key and "attn" not in key for key in state if key.startswith(("txt_", "vid_")))
    again: Any = inspect(state).resolve({}).build()
    assert (again.config.projection, again.embed_dim) == ("none", 48)
    ids, frames = again.random_token_ids(2, 9, torch.Generator().manual_seed(1)), torch.rand(2, 3, 3, 32, 32)
    assert torch.equal(again.embed_text(ids), again.text_model(ids)[:, 0])
    assert torch.equal(again.embed_video(frames), again.video_model(frames))
    # Towers of two widths can't do without one.
    wider = card.model(replace(SMALL, projection="none"), {"frames": 3, "moments": 3}).state_dict()
    with pytest.raises(
        CheckpointError, match=r"it has no vid_proj\.0\.weight. It is damaged, or of another variant: bring"
    ):
        inspect(wider)


def test_tables_second_name_of_a_table() -> None:
    state = small_system("table").state_dict()
    renamed = {"cross.type" if key == "cross.kind" else key: value for key, value in state.items()}
    assert normalised(renamed).keys() == normalised(state).keys()


@pytest.mark.parametrize("size", [64, 96, 97, 100, 127, 160])
@torch.no_grad()
def test_clipberts_grid_is_as_large_as_its_convolutions_make_it(size: int) -> None:
    options = {**given_options("clipbert"), "image_size": size}
    made: Any = inspect(normalised(small_system("clipbert").state_dict())).resolve(options).build()
    frames = torch.zeros(1, *made.video_inputs[0].shape, dtype=torch.uint8)
    assert made.encode_video(frames)[0].shape[1:] == made.video_record[0].shape


def test_a_clipbert_that_was_only_pretrained_says_so() -> None:
    state = normalised(small_system("clipbert").state_dict())
    bare = {key: value for key, value in state.items() if not key.startswith("transformer.classifier.")}
    with pytest.raises(
        CheckpointError, match="pretrained on images and captions and has no classifier of pairs: bring"
    ):
        inspect({**bare, "transformer.cls.seq_relationship.weight": torch.ones(2, 32)})


@pytest.mark.parametrize("name", [name for name in examples() if name.split()[0] != "dong2026"])
def test_every_system_says_what_to_bring_where_a_tensor_is_missing(name: str) -> None:
    """Whichever tensor is missing, the refusal names the system and where a whole checkpoint comes from."""
    state = normalised(small_system(name).state_dict())
    system = asked_as(name, state)
    keys = [key for key in state if key not in inspect(state, system, given_options(name)).unused]
    for key in keys[:: max(1, len(keys) // 12)]:
        rest = {other: value for other, value in state.items() if other != key}
        try:
            inspect(rest, system, given_options(name)).resolve(given_options(name)).build()
        except CheckpointError as error:
            said = str(error)
        else:
            # Then what is left is another variant's, whole.
            continue
        # Without the one tensor by which it is known, a checkpoint is nobody's.
        assert "bring" in said or "no system is known" in said, (key, said)
