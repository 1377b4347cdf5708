"""TABLE: there is no code of the authors, so it is compared with loops that follow the page, and by what must hold."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from framesift.export.build import resolve
from framesift.export.bundle.errors import CheckpointError
from framesift.export.checkpoint import Checkpoint
from framesift.export.systems.contract import unit
from framesift.export.systems.examples import small_system
from framesift.export.systems.table import Table

from ..small_systems import given_options

OPTIONS = given_options("table")
V, F, K = 2, 5, 5


@pytest.fixture(scope="module")
def model() -> Table:
    made = small_system("table").double()
    assert isinstance(made, Table)
    return made


def inputs(model: Table, tags: int = 3) -> list[Tensor]:
    generator = torch.Generator().manual_seed(4)
    frames = torch.randint(0, 256, (V, *model.video_inputs[0].shape), generator=generator, dtype=torch.uint8)
    mask = torch.tensor([[1.0] * 5, [1, 1, 0, 0, 0]]).double()
    ids = model.random_token_ids(V * K, 8, generator).unflatten(0, (V, K))
    return [frames, mask, ids, (torch.arange(K) < tags).double().expand(V, K)]


def test_a_tag_is_read_as_far_as_the_text_tower_reads(model: Table) -> None:
    options = {name: value for name, value in OPTIONS.items() if name != "tag_tokens"}
    made = resolve(Checkpoint(small_system("table").state_dict()), options).build().double()
    assert made.video_inputs[2].shape == (K, model.text_positions)
    frames, mask, ids, tag_mask = inputs(model)
    longer = torch.nn.functional.pad(ids, (0, made.video_inputs[2].shape[1] - ids.shape[2]))
    with torch.no_grad():
        (short,), (long,) = (
            model.encode_video(frames, mask, ids, tag_mask),
            made.encode_video(frames, mask, longer, tag_mask),
        )
    torch.testing.assert_close(long, short, atol=1e-12, rtol=0)


def by_hand(model: Table, frames: Tensor, mask: Tensor, ids: Tensor, tag_mask: Tensor) -> Tensor:
    """One video, without batch and without masks: what is masked is left out."""
    shown = model.clip.visual.normalise(frames[None])[:, : int(mask.sum())]
    raw = model.clip.visual.embed_clips(shown)[0]
    tags = model.tag_encoder(ids[: int(tag_mask.sum())]) if tag_mask.any() else raw[:0]
    cross = model.cross
    x = torch.cat([raw + cross.frame_position[: len(raw)] + cross.kind[0], tags + cross.kind[1]])[None]
    for block in cross.transformer.resblocks:
        x = block(x)
    return unit((raw + cross.ln_post(x[0, : len(raw)])).mean(0))


@pytest.mark.parametrize("tags", [0, 1, K])
@torch.no_grad()
def test_masks_leave_out_what_is_not_there(model: Table, tags: int) -> None:
    given = inputs(model, tags)
    (found,) = model.encode_video(*given)
    for row in range(V):
        torch.testing.assert_close(found[row], by_hand(model, *(x[row] for x in given)), atol=1e-10, rtol=0)


@torch.no_grad()
def test_the_order_of_tags_does_not_matter_and_their_words_do(model: Table) -> None:
    frames, mask, ids, tag_mask = inputs(model, K)
    (one,) = model.encode_video(frames, mask, ids, tag_mask)
    torch.testing.assert_close(model.encode_video(frames, mask, ids.flip(1), tag_mask)[0], one, atol=1e-10, rtol=0)
    changed = ids.clone()
    changed[:, 0, 0] += 1
    assert (model.encode_video(frames, mask, changed, tag_mask)[0] - one).abs().max() > 1e-6


def test_tags_may_share_the_tower_of_texts() -> None:
    state = {key: value for key, value in small_system("table").state_dict().items() if "tag_encoder" not in key}
    shared = resolve(Checkpoint(state), OPTIONS).build()
    assert isinstance(shared, Table)
    ids = torch.tensor([[[3, 513, 0, 0]]])
    torch.testing.assert_close(shared.embed_tags(ids)[0], shared.clip(ids[0]))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"cross.frame_position": torch.ones(5, 31)}, "cross.frame_position is 31 wide, and CLIP's embeddings are 32"),
        ({"cross.kind": None}, "missing: cross.kind"),
        ({"cross.ln_post.weight": torch.ones(7)}, "mis-shaped: cross.ln_post.weight"),
        ({"tag_encoder.ln_final.bias": None}, "missing: tag_encoder.ln_final.bias"),
        ({"cross.decoder.weight": torch.ones(2, 2)}, "unexpected: cross.decoder.weight"),
        ({"clip.ln_final.weight": None}, "it has no clip.ln_final.weight"),
    ],
)
def test_what_is_damaged_is_refused(change: dict[str, Any], said: str) -> None:
    whole = small_system("table").state_dict()
    state = {key: value for key, value in {**whole, **change}.items() if value is not None}
    with pytest.raises(CheckpointError) as raised:
        resolve(Checkpoint(state), OPTIONS).build()
    assert "recognised as table (it has the cross.frame_position" in str(raised.value)
    assert said in str(raised.value)


def test_a_tag_has_no_more_positions_than_the_tower() -> None:
    with pytest.raises(CheckpointError, match="tag_tokens is 78, the text tower has 3 to 77 positions"):
        resolve(Checkpoint(small_system("table").state_dict()), {**OPTIONS, "tag_tokens": 78}).build()
