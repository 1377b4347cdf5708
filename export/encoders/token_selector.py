"""TS2-Net's token selection (Liu et al., ECCV 2022): the most informative patches of a frame, chosen under noise."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# Spread of the noise on the scores, and how many draws the authors average.
SIGMA = 0.05
SAMPLES = 500


class ScorePredictor(nn.Module):
    """How informative each token of a frame is, beside the frame's class token."""

    def __init__(self, width: int) -> None:
        super().__init__()
        half = width // 2
        self.in_conv = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, half, bias=False), nn.GELU())
        self.out_conv = nn.Sequential(
            nn.Linear(2 * half, half, bias=False), nn.GELU(), nn.Linear(half, 1, bias=False), nn.Tanh()
        )

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens [V, F, N, D], the class token first, to scores [V, F, N] in [-1, 1]."""
        x = self.in_conv(tokens)
        return self.out_conv(torch.cat([x, x[..., :1, :].expand_as(x)], -1)).squeeze(-1)


class TokenSelector(nn.Module):
    """Class token and ``top_k`` (mixtures of) patches of every frame."""

    def __init__(self, width: int, *, top_k: int = 3, sigma: float = SIGMA) -> None:
        super().__init__()
        self.top_k, self.sigma = top_k, sigma
        self.score_predictor = ScorePredictor(width)

    def indices(self, scores: Tensor) -> Tensor:
        """The ``top_k`` best patches of scores [..., P], in the order of their places: int64 [..., K]."""
        return scores.topk(self.top_k, dim=-1).indices.sort(-1).values

    def indicator(self, scores: Tensor, noise: Tensor | None) -> Tensor:
        """How much of every patch each selected token holds.

        Args:
            scores: of the patches [V, F, P].
            noise: standard normal [V, F, samples, P]; None chooses by the scores alone, the limit of no noise.

        Returns:
            [V, F, K, P], each row sums to 1.
        """
        if noise is None:
            return F.one_hot(self.indices(scores), scores.shape[-1]).to(scores.dtype)
        chosen = self.indices(scores.unsqueeze(2) + self.sigma * noise.to(scores.dtype))
        return F.one_hot(chosen, scores.shape[-1]).to(scores.dtype).mean(2)

    def forward(self, tokens: Tensor, noise: Tensor | None = None) -> Tensor:
        """Tokens [V, F, N, D], the class token first, to [V, F, 1 + K, D]; ``noise`` as in ``indicator``."""
        patches = self.indicator(self.score_predictor(tokens)[..., 1:], noise) @ tokens[..., 1:, :]
        return torch.cat([tokens[..., :1, :], patches], -2)
