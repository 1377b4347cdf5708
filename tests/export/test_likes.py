"""A search by a video: what stands in a text's place, for every system's example, against the authors' own formula."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from framesift.export.bundle.like import SYSTEMS
from framesift.export.graphs import VideoEncoder, random_video_inputs
from framesift.export.scorer_parity import wide
from framesift.export.systems.contract import System
from framesift.export.systems.examples import examples, options_of, small_system
from framesift.kernels.token_frame.reference import token_frame
from framesift.kernels.topk_attention.like import ROUNDS
from framesift.kernels.topk_attention.reference import TopKAttention

VIDEOS = 5
MADE = {name: small_system(name) for name in examples()}
ABLE = [name for name, made in MADE.items() if made.like_inputs]


def test_the_refusal_names_the_systems_that_can() -> None:
    cards = {card.name for card, _ in examples().values()}
    able = {card.name for name, (card, _) in examples().items() if MADE[name].like_inputs}
    assert set(SYSTEMS) == able < cards
    for name, made in MADE.items():
        assert bool(made.like_inputs) == (made.scorer.like is not None), name


@torch.no_grad()
def records(system: System) -> tuple[Tensor, ...]:
    """Of random videos, in float64."""
    inputs = random_video_inputs(system, VIDEOS, torch.Generator().manual_seed(1))
    return tuple(VideoEncoder(system.double().eval())(*(wide(x) for x in inputs)))


@torch.no_grad()
def likes(system: System, video: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    named = dict(zip((tensor.name for tensor in system.video_record), video, strict=True))
    return tuple(system.encode_like(*(named[tensor.name] for tensor in system.like_inputs)))


@pytest.mark.parametrize("name", ABLE)
@torch.no_grad()
def test_a_video_stands_where_a_text_does(name: str) -> None:
    system = MADE[name].double().eval()
    video = records(system)
    text = likes(system, video)
    assert [tuple(x.shape[1:]) for x in text] == [tensor.shape for tensor in system.text_record]
    scores = system.score(text, video)
    assert scores.shape == (VIDEOS, VIDEOS)
    if system.scorer.name == "dot" and system.name != "mmt":
        # As long as any text's vector, so thresholds and means have the scale of texts.
        ids = system.random_token_ids(3, system.max_tokens, torch.Generator().manual_seed(2))
        lengths = system.encode_text(ids)[0].norm(dim=-1)
        torch.testing.assert_close(text[0].norm(dim=-1), lengths.mean().expand(VIDEOS))
        assert scores.argmax(1).tolist() == list(range(VIDEOS))


TOP_K = [name for name in ABLE if MADE[name].scorer.name == "topk_attention"]


@torch.no_grad()
def own_text(head: TopKAttention, frames: Tensor) -> Tensor:
    """By the published head on frame embeddings: what it makes of all frames alike, and then of those asked for."""
    normed = head.layer_norm1(frames)
    text = pooled(head, head.cross_attn.out_proj(head.cross_attn.v_proj(normed).mean(1)))
    for _ in range(ROUNDS):
        asked, _ = head.cross_attn(head.layer_norm1(text), normed)
        text = pooled(head, torch.stack([asked[row, row] for row in range(len(frames))]))
    return text


def pooled(head: TopKAttention, made: Tensor) -> Tensor:
    y = head.layer_norm2(made)
    z = head.layer_norm3(y + head.linear_proj(y))
    return math.sqrt(z.shape[-1]) * z / z.norm(dim=-1, keepdim=True)


@pytest.mark.parametrize("heads", [1, 2])
@pytest.mark.parametrize("name", TOP_K)
@torch.no_grad()
def test_top_k_attention_takes_the_text_that_the_head_makes_of_a_video(name: str, heads: int) -> None:
    card, example = examples()[name]
    torch.manual_seed(3)
    system = card.model(example.sizes, {**options_of(card, example), "heads": heads}).double().eval()
    for parameter in system.pool_frames.parameters():
        # It begins with identities and zeros.
        parameter += 0.1 * torch.randn_like(parameter)
    system = system.folded()
    inputs = random_video_inputs(system, VIDEOS, torch.Generator().manual_seed(1))
    frames, _ = VideoEncoder(system.published)(*(wide(x) for x in inputs))
    text = own_text(system.pool_frames, frames)
    found = system.score(likes(system, records(system)), records(system))
    torch.testing.assert_close(found, system.published.score([text], [frames]), atol=1e-9, rtol=0)
    # A text of another length has the same scores, but for the epsilon of LayerNorm.
    short = system.published.score([text / text.norm(dim=-1, keepdim=True)], [frames])
    assert (short - found).abs().max() < 1e-2


@torch.no_grad()
def test_places_without_a_frame_take_no_part() -> None:
    system = MADE["mugstan"].double().eval()
    (frames,) = records(system)
    torch.testing.assert_close(
        system.score(likes(system, (frames,)), (frames,)), token_frame(frames, frames, system.tau), atol=1e-12, rtol=0
    )


@torch.no_grad()
def test_experts_that_a_video_lacks_take_no_part() -> None:
    system = MADE["mmt of present experts"].double().eval()
    vectors, present = records(system)
    found = system.score(likes(system, (vectors, present)), (vectors, present))
    each = vectors.unflatten(1, (present.shape[1], -1))
    cosines = torch.einsum("qme,vme->qvm", each, each)
    both = present[:, None] * present[None]
    wanted = (cosines * both).sum(-1) / both.sum(-1).clamp(min=1)
    torch.testing.assert_close(found, wanted, atol=1e-9, rtol=0)


@pytest.mark.parametrize("name", [name for name in ABLE if MADE[name].scorer.like == "beside"])
@torch.no_grad()
def test_a_text_and_a_video_together_are_a_mean_of_both_queries(name: str) -> None:
    system, weight = MADE[name].double().eval(), 0.3
    video = records(system)
    ids = system.random_token_ids(VIDEOS, system.max_tokens, torch.Generator().manual_seed(2))
    text = tuple(system.encode_text(ids))
    like = likes(system, video)
    mixed = [(1 - weight) * words + weight * shown for words, shown in zip(text, like, strict=True)]
    found = system.score(mixed, video)
    if system.scorer.name == "dot":
        # And so is every score.
        wanted = (1 - weight) * system.score(text, video) + weight * system.score(like, video)
        torch.testing.assert_close(found, wanted)
    elif system.scorer.name == "topk_attention":
        torch.testing.assert_close(found, by_definition(system, ids, weight), atol=1e-9, rtol=0)


def by_definition(system: System, ids: Tensor, weight: float) -> Tensor:
    """Frames weighed by the mean of both normalised queries; the mean of both cosines to what they make."""
    inputs = random_video_inputs(system, VIDEOS, torch.Generator().manual_seed(1))
    frames, _ = VideoEncoder(system.published)(*(wide(x) for x in inputs))
    (raw,) = system.published.encode_text(ids)
    head = system.pool_frames
    both = raw, own_text(head, frames)
    queries = [head.layer_norm1(x) for x in both]
    query = (1 - weight) * queries[0] + weight * queries[1]
    pooled, _ = head.cross_attn(query, head.layer_norm1(frames))
    y = head.layer_norm2(pooled)
    z = head.layer_norm3(y + head.linear_proj(y))
    unit_z = z / z.norm(dim=-1, keepdim=True)
    units = [x / x.norm(dim=-1, keepdim=True) for x in both]
    mixed = (1 - weight) * units[0] + weight * units[1]
    return torch.einsum("qd,qvd->qv", mixed, unit_z)
