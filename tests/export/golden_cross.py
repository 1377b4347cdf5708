"""What the systems that read text and video together make of a case, beside what their authors' code made of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from framesift.export.bundle.features.checks import check_arrays
from framesift.export.bundle.features.reading import feature_inputs
from framesift.export.systems.all_in_one import AllInOneVtc
from framesift.kernels.clip_pooling.reference import POOLINGS, match
from framesift.kernels.dot.reference import dot

from .golden_cases import Case


def all_in_one(case: Case) -> dict[str, Tensor]:
    model, ids = case.model, case["in.input_ids"]
    text, video = model.encode_text(ids), model.encode_video(case["in.video"])
    placed = model.place_video(case["in.video"])
    got = {"image_embeds": placed - model.token_type_embeddings.weight[1]}
    if "vtc" in model.trained:
        texts, videos = model.embed_text(model.place_text(ids), ids), model.embed_video(placed)
        got |= {"text_embeds": texts, "video_embeds": videos, "sims": dot(text[-1], video[-1])}
    if isinstance(model, AllInOneVtc):
        return got
    order = case["in.patch_order"]
    patches = placed[:, :, 1:].gather(2, order.unsqueeze(-1).expand(-1, -1, -1, placed.shape[-1]))
    permuted = (torch.cat([placed[:, :, :1], patches], 2),)
    pairs = torch.cartesian_prod(torch.arange(len(ids)), torch.arange(len(placed)))
    pooled = model.pooled(text[0][pairs[:, 0]], text[1][pairs[:, 0]], video[0][pairs[:, 1]])
    return {
        **got,
        "scores": model.score(text, video),
        "scores_permuted": model.score(text, permuted),
        "cls_feats": pooled.unflatten(0, (len(ids), -1)),
    }


def clipbert(case: Case) -> dict[str, Tensor]:
    model = case.model
    grid = model.grids(case["in.video"]) if case.whole else case["in.grid"]
    text = model.encode_text(case["in.input_ids"])
    video = (model.transformer.bert.visual_embeddings(grid),)
    if case.whole:
        torch.testing.assert_close(model.encode_video(case["in.video"]), video)
        torch.testing.assert_close(model.folded().grids(case["in.video"]), grid)
    logits = model.logits(text, video)
    scores = {how: match(pool(logits.flatten(0, 1))).unflatten(0, logits.shape[:2]) for how, pool in POOLINGS.items()}
    torch.testing.assert_close(model.score(text, video), scores["lse"])
    return {
        "grid": grid,
        "clip_logits": logits,
        "lse_logits": logits.logsumexp(2),
        "score": scores["lse"],
        "score_mean": scores["mean"],
        "score_max": scores["max"],
    }


def check_features(case: Case, names: Sequence[str]) -> None:
    """What the rule makes of every video's raw arrays must be the authors' tensors."""
    ports = {port.name: port for port in case.model.video_inputs}
    raw = [key.removeprefix("in.raw.").split(".") for key in case.tensors if key.startswith("in.raw.")]
    for video in sorted({video for video, _ in raw}):
        arrays = {name: case.tensors[f"in.raw.{video}.{name}"].numpy() for at, name in raw if at == video}
        profile = case.model.features
        made = feature_inputs(check_arrays(arrays, profile), profile, ports)
        for name, values in zip(names, made.values(), strict=True):
            wanted = case.tensors[f"in.{name}"][int(video)].numpy()
            np.testing.assert_allclose(values, wanted, rtol=1e-6, atol=1e-6, err_msg=f"{video} {name}")


FEATURES = ("image_feat", "image_loc", "image_mask", "action_feat")


def actbert_graph_inputs(case: Case) -> tuple[Tensor, list[Tensor]]:
    """Token ids, and the tensors that the authors made of every video's features."""
    return case["in.input_ids"], [case[f"in.{name}"] for name in FEATURES]


def actbert(case: Case) -> dict[str, Tensor]:
    model, ids = case.model, case["in.input_ids"]
    text, video = model.encode_text(ids), model.encode_video(*(case[f"in.{name}"] for name in FEATURES))
    check_features(case, FEATURES)
    shape = (len(ids), len(video[0]))
    pairs = torch.cartesian_prod(*map(torch.arange, shape))
    regions, words, actions = model.pooled([x[pairs[:, 0]] for x in text], [x[pairs[:, 1]] for x in video])
    return {
        "pooled_text": words.unflatten(0, shape),
        "pooled_video": regions.unflatten(0, shape),
        "pooled_action": actions.unflatten(0, shape),
        "logits": model.logits(regions, words, actions).unflatten(0, shape),
        "scores": model.score(text, video),
    }


RUN = {"actbert": actbert, "clipbert": clipbert, "all_in_one": all_in_one}
