"""DGL's towers (Yang et al., AAAI 2024, "DGL: Dynamic Global-Local Prompt Tuning"): CLIP with learned prompt tokens.

Letters in shapes: V videos, F frames, P patches, L layers, G global prompts (as many a frame locally), T text prompts.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from .clip import ClipConfig, Towers, vision_sizes
from .clip_vision import VisionTower
from .transformer import Block, QuickGELU, Transformer


@dataclass(frozen=True)
class PromptConfig:
    """How the prompts are made.

    ``space`` "transformer": one block over all prompts of a layer, ``local`` of them for each of ``frames`` frames;
    "linear": the frames share ``local`` prompts, from which the text's are projected. The first half of the ``text``
    prompts stands before the words; the second half, behind them, can't reach the end token and is left out.
    """

    space: Literal["transformer", "linear"] = "transformer"
    frames: int = 12
    layers: int = 12
    text: int = 8
    local: int = 4
    heads: int | None = None


class PromptedTower(VisionTower):
    """A vision tower with prompts in every frame, and a second stream of global tokens that see all frames."""

    def __init__(self, *, width: int, prompts: int, **sizes: Any) -> None:
        super().__init__(width=width, **sizes)
        self.prompt_embeddings = nn.Parameter(0.02 * torch.randn(1, prompts, width))

    def embed_streams(self, pixels: Tensor, prompts: Tensor) -> tuple[Tensor, Tensor]:
        """Encode clips.

        Args:
            pixels: normalised [V, F, 3, H, W].
            prompts: [L, F, G, width], or [L, 1, G, width] for the same ones in every frame.

        Returns:
            Projected global tokens [V, G, D] and frames' class tokens [V, F, D].
        """
        videos, frames = pixels.shape[:2]
        local = self.enter(self.conv1(pixels.flatten(0, 1)).flatten(2).transpose(1, 2)).unflatten(0, (videos, frames))
        shared = self.prompt_embeddings.expand(videos, -1, -1)
        for layer, block in enumerate(self.transformer.resblocks):
            assert isinstance(block, Block)
            inserted = prompts[layer].expand(videos, frames, -1, -1)
            patches = local[:, :, 1 + (inserted.shape[2] if layer else 0) :]
            local = torch.cat([local[:, :, :1], inserted, patches], 2)
            read, read_shared = block.ln_1(local), block.ln_1(shared)
            of_frame = torch.cat([read_shared.unsqueeze(1).expand(-1, frames, -1, -1), read], 2)
            of_video = torch.cat([read_shared, read.flatten(1, 2)], 1)
            seen = block.attn(read.flatten(0, 1), context=of_frame.flatten(0, 1)).unflatten(0, (videos, frames))
            local, shared = local + seen, shared + block.attn(read_shared, context=of_video)
            local, shared = local + block.mlp(block.ln_2(local)), shared + block.mlp(block.ln_2(shared))
        return self.ln_post(shared) @ self.proj, self.ln_post(local[:, :, 0]) @ self.proj


class PromptedClip(Towers[PromptedTower]):
    """Both towers with their prompts, under the authors' names."""

    def __init__(self, config: ClipConfig, prompts: PromptConfig) -> None:
        super().__init__(config, PromptedTower(prompts=prompts.local, **vision_sizes(config)))
        self.prompting = prompts
        width, layers = config.vision_width, prompts.layers
        if prompts.space == "transformer":
            self.unified_prompt_embedding = nn.Embedding(prompts.text + prompts.local * prompts.frames, layers * width)
            self.PromptTransformer = Transformer(width, 1, heads=prompts.heads)
            self.unified_prompt_mlp = nn.Sequential(
                OrderedDict(
                    c_fc=nn.Linear(width, 2 * width), gelu=QuickGELU(), c_proj=nn.Linear(2 * width, config.text_width)
                )
            )
        else:
            self.visual_prompt_embedding = nn.Parameter(0.02 * torch.randn(1, prompts.local, layers * width))
            self.prefix_text_prompt_proj_layer = nn.Linear(width, config.text_width)
            self.postfix_text_prompt_proj_layer = nn.Linear(width, config.text_width)

    def fold(self) -> None:
        """Keep the prompts as constants: they depend on the weights alone. Call it in the dtype that will be used."""
        with torch.no_grad():
            text, visual = self.prompts()
        self.register_buffer("text_prompts", text.clone(), persistent=False)
        self.register_buffer("visual_prompts", visual.clone(), persistent=False)

    def prompts(self) -> tuple[Tensor, Tensor]:
        """Text prompts [L, T, text width], and visual prompts [L, F, G, width] or [L, 1, G, width]."""
        if "text_prompts" in self._buffers:
            return self.get_buffer("text_prompts"), self.get_buffer("visual_prompts")
        layers, local = self.prompting.layers, self.prompting.local
        if self.prompting.space == "transformer":
            table = self.unified_prompt_embedding.weight.unflatten(1, (layers, -1)).transpose(0, 1)
            made = self.PromptTransformer(table)
            text, visual = made[:, : self.prompting.text], made[:, self.prompting.text :]
            return self.unified_prompt_mlp(text), visual.unflatten(1, (-1, local))
        table = self.visual_prompt_embedding[0].unflatten(1, (layers, -1)).transpose(0, 1)
        text = torch.cat([self.prefix_text_prompt_proj_layer(table), self.postfix_text_prompt_proj_layer(table)], 1)
        return text, table.unsqueeze(1)

    def embed_clips(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Normalised pixels [V, F, 3, H, W] to global tokens [V, G, D] and frames' class tokens [V, F, D]."""
        return self.visual.embed_streams(pixels, self.prompts()[1])

    def forward(self, token_ids: Tensor) -> Tensor:
        """Token ids int64 [Q, W] to raw embeddings [Q, D].

        Words get the position that they have without prompts, and prompts get none. As many blocks run as there are
        layers of prompts.
        """
        prompts, x = self.prompts()[0], self.enter(token_ids)
        before = prompts.shape[1] // 2
        for layer in range(self.prompting.layers):
            inserted = prompts[layer, :before].expand(x.shape[0], -1, -1)
            words = x[:, 1 + (before if layer else 0) :]
            x = self.transformer.resblocks[layer](torch.cat([x[:, :1], inserted, words], 1))
        end = token_ids.argmax(-1)
        # A text without an end token is read at its first position, which the prompts don't move.
        end = torch.where(end > 0, end + before, end)
        return self.ln_final(x[torch.arange(x.shape[0], device=x.device), end]) @ self.text_projection
