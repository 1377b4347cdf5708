"""Published systems against outputs of their authors' own code, which ran in float64 and were stored in float32.

Every intermediate that a case stores and its scores must agree within three times what the authors' own float32 run was
off, plus the rounding of the stored tensors. FRAMESIFT_GOLDEN names a further folder of cases.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from framesift.export.checkpoint import normalised
from framesift.export.systems.contract import unit
from framesift.export.systems.inspection import inspect
from framesift.export.systems.stan import bounded_unit
from framesift.kernels.frame_softmax.reference import frame_softmax_weights
from framesift.kernels.multi_grained.reference import TextRecord, VideoRecord, granularities
from framesift.kernels.token_frame.reference import token_frame

from .golden_cases import CASES, Case, clip_features
from .golden_cross import RUN as CROSS
from .golden_features import howto100m, mmt


def clip4clip(case: Case) -> dict[str, Tensor]:
    model, mask = case.model, case["in.video_mask"]
    text, frames = clip_features(case, mask)
    records = model.finish_text(text), model.pool(frames, mask)
    if case.whole:
        records = model.encode_text(case["in.input_ids"]), model.encode_video(case["in.video"], mask)
    got = {"sequence_output": text.unsqueeze(1), "visual_output": frames, "logits": model.score(*records)}
    if model.scorer.shortlist:
        pairs = torch.cartesian_prod(torch.arange(len(text)), torch.arange(len(frames)))
        placed = records[0][0][pairs[:, 0]], records[1][0][pairs[:, 1]], records[1][1][pairs[:, 1]]
        shape = (len(text), len(frames))
        got["cross_hidden"] = model.cross.hidden(*placed).unflatten(0, shape)
        got["cross_pooled"] = model.cross(*placed).unflatten(0, shape)
        torch.testing.assert_close(model.score_pairs(*records, pairs).unflatten(0, shape), got["logits"])
        return got
    got["temporal_out"] = model.through_time(frames, mask)
    if model.header == "seqLSTM":
        # The authors' padded frames depend on the longest video of the batch; nothing reads them.
        got["temporal_out"] = torch.where(mask.bool().unsqueeze(-1), got["temporal_out"], case["out.temporal_out"])
    return {**got, "text_embeds": unit(text), "video_embeds": records[1][0]}


def xclip(case: Case) -> dict[str, Tensor]:
    model, mask = case.model, case["in.video_mask"]
    text, frames = clip_features(case, mask)
    positions = model.clip.embed_positions(case["in.input_ids"]) if case.whole else case["in.seq_features"]
    records = model.finish_text(text, positions), model.pool(frames, mask)
    if case.whole:
        records = model.encode_text(case["in.input_ids"]), model.encode_video(case["in.video"], mask)
    parts = granularities(TextRecord(*records[0]), VideoRecord(*records[1]), model.matrices())
    return {
        "sequence_output": text.unsqueeze(1),
        "seq_features": positions,
        "visual_output": frames,
        "temporal_out": model.through_time(frames, mask),
        "video_embeds": records[1].video,
        "frame_features": records[1].frames,
        "sentence_embeds": records[0].sentence,
        "word_features": records[0].words,
        **{f"{name}_logits": model.scale() * value for name, value in parts._asdict().items()},
        "logits": model.score(*records),
    }


def ts2net(case: Case) -> dict[str, Tensor]:
    model, mask = case.model, case["in.video_mask"]
    videos, frames = mask.shape
    if case.whole:
        text = model.clip(case["in.input_ids"])
        tokens = model.clip.visual.embed_tokens(model.pixels(case["in.video"], mask))
    else:
        text = case["in.sequence_output"].squeeze(1)
        tokens = case["in.visual_hidden"].unflatten(1, (frames, -1))
    noise = case["in.noise"].unflatten(0, (videos, frames))
    selector = model.visual_token_selector
    scores = selector.score_predictor(tokens)
    record, hard = model.pool(tokens, mask, noise), model.pool(tokens, mask)
    if case.whole:
        record, hard = model.encode_video(case["in.video"], mask, noise), model.encode_video(case["in.video"], mask)
    queries = model.finish_text(text)
    selected = selector(tokens, noise)
    return {
        "sequence_output": text.unsqueeze(1),
        "visual_hidden": tokens.flatten(1, 2),
        "selector_score": scores,
        "topk_indicator": selector.indicator(scores[..., 1:], noise),
        "selected_tokens": selected.flatten(1, 2),
        "hard_topk_indices": selector.indices(scores[..., 1:]),
        "hard_selected_tokens": selector(tokens).flatten(1, 2),
        "frame_tokens": model.mix(selected, mask.double()),
        "effective_token_mask": mask.repeat(1, selected.shape[2]),
        "effective_frame_mask": record[1],
        "frame_weights": frame_softmax_weights(queries[0], *record)[1],
        "logits": model.score(queries, record),
        "hard_logits": model.score(queries, hard),
    }


def dgl(case: Case) -> dict[str, Tensor]:
    model = case.model
    text_prompts, visual_prompts = model.clip.prompts()
    shared, frames = model.clip.embed_clips(case["in.video"])
    records = model.encode_text(case["in.input_ids"]), model.encode_video(case["in.video"])
    constant = model.folded()
    folded = constant.encode_text(case["in.input_ids"]), constant.encode_video(case["in.video"])
    for before, after in zip(records, folded, strict=True):
        assert torch.equal(before[0], after[0])
    return {
        "unified_text_prompt": text_prompts,
        "unified_visual_prompt": visual_prompts.flatten(1, 2),
        "sequence_output": model.clip(case["in.input_ids"]).unsqueeze(1),
        "global_prompts": shared,
        "frame_cls": frames,
        "visual_output": model.pool(shared, frames).unsqueeze(1),
        "text_embeds": unit(records[0][0]),
        "video_embeds": records[1][0],
        "logits": model.score(*records),
    }


def stan(case: Case) -> dict[str, Tensor]:
    if not case.whole:
        words = bounded_unit(case["in.token_features"]) * case["in.text_mask"].unsqueeze(-1)
        return {"sims": token_frame(words, bounded_unit(case["in.frame_features"]), case.config["tau"])}
    model, ids = case.model, case["in.input_ids"]
    frames = model.embed_frames(case["in.video"])
    return {
        "text_features": model.clip(ids),
        "token_features": model.clip.embed_positions(ids),
        "frame_features": frames,
        "video_features": frames.mean(1),
        "text_mask": (ids != 0).long(),
        "sims": model.score(model.encode_text(ids), model.encode_video(case["in.video"])),
    }


def xpool(case: Case) -> dict[str, Tensor]:
    model = case.model
    if case.whole:
        text = model.clip(case["in.input_ids"])
        frames = model.clip.visual.embed_clips(model.clip.visual.normalise(case["in.video"]))
    else:
        text, frames = case["in.text_embeds"], case["in.frame_embeds"]
    head = model.pool_frames
    attention = head.cross_attn
    normed_text, normed_frames = head.layer_norm1(text), head.layer_norm1(frames)
    pooled = attention(normed_text, normed_frames)[0].transpose(0, 1)
    second = head.layer_norm2(pooled)
    third = head.layer_norm3(second + head.linear_proj(second))
    sims = head(text, frames)[0]
    return {
        "text_embeds": text,
        "frame_embeds": frames,
        "pool.layer_norm1_text": normed_text,
        "pool.layer_norm1_video": normed_frames,
        "pool.cross_attn.q_proj": attention.q_proj(normed_text),
        "pool.cross_attn.k_proj": attention.k_proj(normed_frames),
        "pool.cross_attn.v_proj": attention.v_proj(normed_frames),
        "pool.cross_attn": pooled,
        "pool.layer_norm2": second,
        "pool.linear_proj": head.linear_proj(second),
        "pool.layer_norm3": third,
        "pooled": third,
        "sims": sims,
        "logits": model.clip.logit_scale.exp() * sims,
    }


def frozen(case: Case) -> dict[str, Tensor]:
    model, ids = case.model, case["in.input_ids"]
    # The mask that the authors' tokenizer gives is where the ids are.
    assert torch.equal(case["in.attention_mask"], (ids != 0).long())
    return {
        "text_embeds": model.embed_text(ids),
        "video_embeds": model.embed_video(case["in.video"]),
        "sims": model.score(model.encode_text(ids), model.encode_video(case["in.video"])),
    }


def clover(case: Case) -> dict[str, Tensor]:
    model, ids = case.model, case["in.input_ids"]
    assert torch.equal(case["in.attention_mask"], (ids != 0).long())
    return {
        "video_grid": model.embed_grid(case["in.video"]).permute(0, 4, 1, 2, 3),
        "video_embeds": model.embed_video(case["in.video"]),
        "text_embeds": model.embed_text(ids),
        "sims": model.score(model.encode_text(ids), model.encode_video(case["in.video"])),
    }


RUN = {
    "clover": clover,
    "howto100m": howto100m,
    "mmt": mmt,
    "frozen": frozen,
    "clip4clip": clip4clip,
    "xclip": xclip,
    "ts2net": ts2net,
    "dgl": dgl,
    "stan": stan,
    "xpool": xpool,
    **CROSS,
}


@pytest.mark.parametrize(("system", "meta"), CASES)
def test_intermediates_scores_and_rankings_are_the_authors(system: str, meta: Path) -> None:
    case = Case(system, meta)
    with torch.no_grad():
        got = RUN[system](case)
    case.check(got)
    for name in ("sims", "hard_logits", "logits", "scores", "score"):
        # Two logits a pair are no score.
        if f"out.{name}" in case.tensors and got[name].dim() == 2:
            case.check_scores(got[name], name)


# Of these no code is public: what is known of them is the model that they train.
FROM_THE_PAPER = {"frozen": "mac", "clip4clip": "rvtr"}


@pytest.mark.parametrize(
    ("system", "meta"), [case for case in CASES if case.values[0] in FROM_THE_PAPER and "tight" not in str(case.id)]
)
@torch.no_grad()
def test_a_system_from_a_paper_is_the_model_that_it_trains(system: str, meta: Path) -> None:
    case = Case(system, meta)
    training = {"uncertainty.head.weight": torch.ones(2)} if system == "clip4clip" else {}
    asked = inspect(normalised({**case.state, **training}), FROM_THE_PAPER[system])
    made: Any = asked.resolve(case.options).build().double()
    assert (made.name, type(made).mro()[1]) == (FROM_THE_PAPER[system], type(case.model))
    assert set(asked.unused) >= set(training)
    want = RUN[system](case)
    case.model = made
    got = RUN[system](case)
    assert all(torch.equal(got[name], want[name]) for name in want)
