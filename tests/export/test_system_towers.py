"""What published systems change in the towers, against loops that follow their definitions, in float64."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from framesift.export.bundle.video.noise import selector_noise
from framesift.export.encoders.clip import ClipConfig, vision_sizes
from framesift.export.encoders.clip_patch3d import VisionTower3d
from framesift.export.encoders.patch_shift import ShiftTower, shift_patches
from framesift.export.encoders.prompted import PromptConfig, PromptedClip
from framesift.export.encoders.stan import StanTower
from framesift.export.encoders.token_selector import TokenSelector
from framesift.export.encoders.transformer import Attention
from framesift.export.systems.clip4clip import Clip4Clip
from framesift.export.systems.clip4clip_base import Clip4ClipConfig, masked_mean
from framesift.export.systems.ts2net import tile

CLIP = ClipConfig(24, 24, 8, 64, 3, 64, 3, 60, 20, vision_heads=4, text_heads=2)
FRAMES, VIDEOS = 4, 2


def trained(module: nn.Module) -> nn.Module:
    """Every parameter random, in float64."""
    torch.manual_seed(7)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.2)
    return module.double().eval()


def clips(size: int = 24) -> Tensor:
    return torch.randn(VIDEOS, FRAMES, 3, size, size, generator=torch.Generator().manual_seed(3)).double()


def read(attention: Attention, queries: Tensor, context: Tensor) -> Tensor:
    """Attention of queries [N, W] to context [M, W], head by head."""
    width, size = queries.shape[1], queries.shape[1] // attention.heads
    project = [queries, context, context]
    q, k, v = (
        x @ attention.in_proj_weight[i * width : (i + 1) * width].T
        + attention.in_proj_bias[i * width : (i + 1) * width]
        for i, x in enumerate(project)
    )
    parts = []
    for h in range(attention.heads):
        part = slice(h * size, (h + 1) * size)
        parts.append((q[:, part] @ k[:, part].T / math.sqrt(size)).softmax(-1) @ v[:, part])
    return attention.out_proj(torch.cat(parts, -1))


@pytest.mark.parametrize("heads", [1, 2, 8])
def test_attention_takes_any_number_of_heads_and_a_context(heads: int) -> None:
    attention = trained(Attention(32, causal=False, heads=heads))
    x, context = torch.randn(3, 5, 32).double(), torch.randn(3, 7, 32).double()
    with torch.no_grad():
        for b in range(3):
            torch.testing.assert_close(attention(x)[b], read(attention, x[b], x[b]))
            torch.testing.assert_close(attention(x, context=context)[b], read(attention, x[b], context[b]))


@pytest.mark.parametrize(("frames", "tokens"), [(1, 7), (2, 8), (5, 17), (4, 50), (3, 22), (6, 13)])
def test_patches_are_shifted_as_the_definition_says(frames: int, tokens: int) -> None:
    x = torch.randn(2, frames, tokens, 3)
    step = tokens // 7
    want = x.clone()
    for f in range(1, frames):
        for i in range(1, tokens, step):
            want[:, f, i] = x[:, f - 1, i]
    for f in range(frames - 1):
        for i in range(4, tokens, step):
            want[:, f, i] = x[:, f + 1, i]
    assert torch.equal(shift_patches(x), want)


def test_too_few_tokens_to_shift_are_refused() -> None:
    with pytest.raises(ValueError, match="a frame has 6 tokens"):
        shift_patches(torch.zeros(1, 2, 6, 3))


def test_a_shift_tower_without_neighbours_is_clips_own() -> None:
    tower = trained(ShiftTower(frames=1, shift_layers=[1, 2], **vision_sizes(CLIP)))
    pixels = clips()[:, :1]
    with torch.no_grad():
        torch.testing.assert_close(tower.embed_tokens(pixels)[:, :, 0], tower.embed_clips(pixels))


def test_selected_tokens_are_a_mean_over_draws_of_the_best_patches() -> None:
    selector = trained(TokenSelector(24, top_k=3, sigma=0.3))
    tokens = torch.randn(VIDEOS, FRAMES, 10, 24).double()
    noise = torch.from_numpy(selector_noise("clip", (VIDEOS, FRAMES, 11, 9))).double()
    with torch.no_grad():
        scores = selector.score_predictor(tokens)[..., 1:]
        got, hard = selector(tokens, noise), selector(tokens)
    for v in range(VIDEOS):
        for f in range(FRAMES):
            draws = [scores[v, f] + 0.3 * noise[v, f, s] for s in range(11)]
            best = [sorted(sorted(range(9), key=lambda i, d=draw: -d[i])[:3]) for draw in draws]
            for k in range(3):
                want = torch.stack([tokens[v, f, 1 + chosen[k]] for chosen in best]).mean(0)
                torch.testing.assert_close(got[v, f, 1 + k], want)
            first = sorted(sorted(range(9), key=lambda i, s=scores[v, f]: -s[i])[:3])
            assert torch.equal(hard[v, f], tokens[v, f, [0, *(1 + i for i in first)]])
    selector.sigma = 1e-9
    with torch.no_grad():
        torch.testing.assert_close(selector(tokens, noise), hard)


def test_noise_belongs_to_the_video_and_is_normal() -> None:
    shape = (12, 50, 49)
    noise = selector_noise("a video", shape)
    assert np.array_equal(noise, selector_noise("a video", shape))
    assert not np.array_equal(noise, selector_noise("a video.", shape))
    assert (noise.dtype, noise.shape) == (np.float32, shape)
    values = noise.astype(np.float64).ravel()
    for power, moment in ((1, 0.0), (2, 1.0), (3, 0.0), (4, 3.0)):
        assert (values**power).mean() == pytest.approx(moment, abs=0.15)
    assert abs(np.corrcoef(values, selector_noise("b", shape).ravel())[0, 1]) < 0.03
    assert selector_noise("odd", (3,)).shape == (3,)


def test_noise_is_the_same_in_every_process() -> None:
    code = "from framesift.export.bundle.video.noise import selector_noise as s;print(s('ünï', (3, 5)).tolist())"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120).stdout
    assert other.strip() == str(selector_noise("ünï", (3, 5)).tolist())


def test_the_tiled_mask_is_whole_copies_in_a_row() -> None:
    mask = torch.tensor([[1.0, 1.0, 0.0]])
    assert tile(mask, 4).tolist() == [[1, 1, 0, 1, 1, 0, 1, 1, 0, 1, 1, 0]]


def test_three_dimensional_patches_read_the_frames_before_and_after() -> None:
    tower = trained(VisionTower3d(**vision_sizes(CLIP)))
    pixels = clips()
    with torch.no_grad():
        got = tower.embed_clips(pixels)
        for v in range(VIDEOS):
            padded = torch.cat([torch.zeros_like(pixels[v, :1]), pixels[v], torch.zeros_like(pixels[v, :1])])
            for f in range(FRAMES):
                patches = sum(F.conv2d(padded[f + t][None], tower.conv2.weight[:, :, t], stride=8) for t in range(3))
                x = tower.transformer(tower.enter(patches.flatten(2).transpose(1, 2)))
                torch.testing.assert_close(got[v, f], (tower.ln_post(x[0, 0]) @ tower.proj))


def test_the_lstm_header_runs_over_the_frames_that_count() -> None:
    made = trained(Clip4Clip(Clip4ClipConfig(FRAMES, 9, "seqLSTM", clip=CLIP)))
    raw = torch.randn(VIDEOS, FRAMES, 24).double()
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])
    cell = made.lstm_visual
    with torch.no_grad():
        got, video = made.through_time(raw, mask), made.pool(raw, mask)[0]
        for v in range(VIDEOS):
            hidden = memory = torch.zeros(24).double()
            used = []
            for f in range(int(mask[v].sum())):
                gates = cell.weight_ih_l0 @ raw[v, f] + cell.bias_ih_l0 + cell.weight_hh_l0 @ hidden + cell.bias_hh_l0
                i, keep, new, out = gates.chunk(4)
                memory = keep.sigmoid() * memory + i.sigmoid() * new.tanh()
                hidden = out.sigmoid() * memory.tanh()
                torch.testing.assert_close(got[v, f], hidden + raw[v, f])
                used.append((hidden + raw[v, f]) / (hidden + raw[v, f]).norm())
            mean = torch.stack(used).mean(0)
            torch.testing.assert_close(video[v], mean / mean.norm())


def test_the_masked_mean_is_of_unit_vectors() -> None:
    frames = torch.tensor([[[3.0, 4.0], [0.0, 7.0], [9.0, 9.0]]])
    mean = torch.tensor([0.3, 0.9])
    torch.testing.assert_close(masked_mean(frames, torch.tensor([[1, 1, 0]]))[0], mean / mean.norm())


@pytest.mark.parametrize("space", ["transformer", "linear"])
def test_global_and_local_prompts_read_what_the_definition_says(space: str) -> None:
    made = trained(PromptedClip(CLIP, PromptConfig(space, FRAMES, 3, 6, 3)))  # type: ignore[arg-type]
    tower, pixels = made.visual, clips()
    with torch.no_grad():
        shared, classes = made.embed_clips(pixels)
        prompts = made.prompts()[1].expand(3, FRAMES, 3, 64)
        for v in range(VIDEOS):
            local = list(tower.enter(tower.conv1(pixels[v]).flatten(2).transpose(1, 2)))
            common = tower.prompt_embeddings[0]
            for layer, block in enumerate(tower.transformer.resblocks):
                skip = 4 if layer else 1
                local = [torch.cat([x[:1], prompts[layer, f], x[skip:]]) for f, x in enumerate(local)]
                every = torch.cat([block.ln_1(common), *(block.ln_1(x) for x in local)])
                seen = [read(block.attn, block.ln_1(x), torch.cat([block.ln_1(common), block.ln_1(x)])) for x in local]
                common = common + read(block.attn, block.ln_1(common), every)
                local = [x + change for x, change in zip(local, seen, strict=True)]
                common, *local = (x + block.mlp(block.ln_2(x)) for x in (common, *local))
            torch.testing.assert_close(shared[v], tower.ln_post(common) @ tower.proj)
            torch.testing.assert_close(classes[v], torch.stack([tower.ln_post(x[0]) @ tower.proj for x in local]))


@pytest.mark.parametrize("space", ["transformer", "linear"])
def test_prompts_behind_the_words_could_not_change_a_text(space: str) -> None:
    made = trained(PromptedClip(CLIP, PromptConfig(space, FRAMES, 3, 6, 3)))  # type: ignore[arg-type]
    ids = torch.tensor([[3, 9, 59, 0, 0, 0], [8, 1, 2, 4, 5, 59], [59, 0, 0, 0, 0, 0]])
    with torch.no_grad():
        prompts, x = made.prompts()[0], made.enter(ids)
        for layer, block in enumerate(made.transformer.resblocks):
            words = x[:, 1:] if layer == 0 else x[:, 4:9]
            before, behind = prompts[layer, :3].expand(3, -1, -1), prompts[layer, 3:].expand(3, -1, -1)
            x = block(torch.cat([x[:, :1], before, words, behind], 1))
        end = torch.tensor([2 + 3, 5 + 3, 0])
        want = made.ln_final(x[torch.arange(3), end]) @ made.text_projection
        torch.testing.assert_close(made(ids), want)
        made.fold()
        torch.testing.assert_close(made(ids), want)
    assert {"text_prompts", "visual_prompts"}.isdisjoint(made.state_dict())


def test_the_branch_beside_the_last_blocks_follows_its_definition() -> None:
    tower = trained(StanTower(depth=2, moments=6, **vision_sizes(CLIP)))
    pixels = clips()
    with torch.no_grad():
        got = tower.embed_clips(pixels)
        for v in range(VIDEOS):
            x = tower.enter(tower.conv1(pixels[v]).flatten(2).transpose(1, 2))
            for layer, block in enumerate(tower.transformer.resblocks):
                x = block(x)
                if layer == 0:
                    continue
                if layer == 1:
                    c = (x[:, 0].mean(0) + tower.class_embedding + tower.positional_embedding[0]) / 2
                    b = [
                        x[f, 1:] + tower.positional_embedding[1:] + tower.STAN_time_embed.weight[f]
                        for f in range(FRAMES)
                    ]
                else:
                    c, b = c + x[:, 0].mean(0), [b[f] + x[f, 1:] for f in range(FRAMES)]
                time, space = tower.STAN_T_layers[layer - 1], tower.STAN_S_layers[layer - 1]
                places = [torch.stack([b[f][p] for f in range(FRAMES)]) for p in range(9)]
                changes = [time.temporal_fc(read(time.attn, time.ln_1(y), time.ln_1(y))) for y in places]
                b = [b[f] + torch.stack([changes[p][f] for p in range(9)]) for f in range(FRAMES)]
                normed = [space.ln_1(torch.cat([c[None], b[f]])) for f in range(FRAMES)]
                seen = [read(space.attn, y, y) for y in normed]
                c, b = c + torch.stack(seen)[:, 0].mean(0), [b[f] + seen[f][1:] for f in range(FRAMES)]
                c, *b = (y + space.mlp(space.ln_2(y)) for y in (c, *b))
            want = torch.stack([tower.ln_post(x[f, 0] + c) @ tower.proj for f in range(FRAMES)])
            torch.testing.assert_close(got[v], want)


def test_stans_pixels_have_its_own_mean_and_deviation() -> None:
    tower = StanTower(depth=1, moments=6, **vision_sizes(CLIP)).double()
    white = tower.normalise(torch.full((1, 1, 3, 24, 24), 255, dtype=torch.uint8))[0, 0, :, 0, 0]
    want = [(255 - mean) / std for mean, std in ((122.771, 68.5), (116.746, 66.632), (104.093, 70.323))]
    assert white.tolist() == pytest.approx(want, rel=1e-6)
