"""CLIP4Clip's tightTransf in eager PyTorch (Luo et al., 2021): a transformer reads text and frames of a pair.

Letters in shapes: Q queries, V videos, N pairs, F frames, D embedding width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

# Added to the logits of a masked frame, and the epsilon of every LayerNorm here: the authors' constants.
MASKED = -1e6
EPS = 1e-12


class Pooler(nn.Module):
    """First token of a sequence: LayerNorm, linear map, x * sigmoid(1.702 x)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.ln_pool = nn.LayerNorm(width, eps=EPS)
        self.dense = nn.Linear(width, width)

    def forward(self, hidden: Tensor) -> Tensor:
        """[N, T, D] to [N, D]."""
        x = self.dense(self.ln_pool(hidden[:, 0]))
        return x * torch.sigmoid(1.702 * x)


class Position(nn.Module):
    """Learned positions of the joint sequence: row 0 is the text's, row 1 + f the f-th frame's."""

    def __init__(self, positions: int, width: int) -> None:
        super().__init__()
        self.position_embeddings = nn.Embedding(positions, width)


class CrossEncoder(nn.Module):
    """Everything under the authors' name ``cross``.

    Args:
        transformer: maps tokens [N, T, D] and a bias [N, 1, 1, T] of the attention's logits to tokens [N, T, D]; its
            LayerNorms have ``EPS``.
        positions: rows of the position table, at least 1 + F.
    """

    def __init__(self, width: int, transformer: nn.Module, *, positions: int) -> None:
        super().__init__()
        self.embeddings = Position(positions, width)
        self.transformer = transformer
        self.pooler = Pooler(width)

    def place_text(self, text_QD: Tensor) -> Tensor:
        """Raw text embeddings with their position, which makes the text's record."""
        return text_QD + self.embeddings.position_embeddings.weight[0]

    def place_frames(self, frames_VFD: Tensor) -> Tensor:
        """Raw frame embeddings with their positions, which makes the video's record.

        Raises:
            ValueError: there are more frames than positions.
        """
        table, frames = self.embeddings.position_embeddings.weight, frames_VFD.shape[1]
        if frames >= table.shape[0]:
            raise ValueError(f"{frames} frames and the text need {frames + 1} positions, the weights hold {len(table)}")
        return frames_VFD + table[1 : 1 + frames]

    def hidden(self, text_ND: Tensor, frames_NFD: Tensor, mask_NF: Tensor) -> Tensor:
        """The last block's tokens [N, 1 + F, D] of pairs, whose parts have their positions."""
        tokens = torch.cat([text_ND.unsqueeze(1), frames_NFD], 1)
        counts = torch.cat([mask_NF.new_ones(mask_NF.shape[0], 1), mask_NF], 1).to(tokens.dtype)
        return self.transformer(tokens, (1 - counts)[:, None, None] * MASKED)

    def forward(self, text_ND: Tensor, frames_NFD: Tensor, mask_NF: Tensor) -> Tensor:
        """Pooled vectors [N, D] of N pairs."""
        return self.pooler(self.hidden(text_ND, frames_NFD, mask_NF))


def score_pairs(
    cross: CrossEncoder, dense: nn.Linear, text_QD: Tensor, frames_VFD: Tensor, mask_VF: Tensor, pairs_N2: Tensor
) -> Tensor:
    """Score the pairs of a short list in one batch.

    Args:
        dense: the authors' ``similarity_dense``, D to 1.
        text_QD: text records: raw embeddings with their position.
        frames_VFD: frame records: raw embeddings with their positions.
        mask_VF: 1 for a frame of the video, 0 for padding.
        pairs_N2: int64, a row (query, video) for every score wanted.

    Returns:
        Scores [N].
    """
    query, video = pairs_N2.unbind(-1)
    return dense(cross(text_QD[query], frames_VFD[video], mask_VF[video])).squeeze(-1)


def score_all(cross: CrossEncoder, dense: nn.Linear, text_QD: Tensor, frames_VFD: Tensor, mask_VF: Tensor) -> Tensor:
    """Every query against every video of a short list: scores [Q, V]. Arguments as in ``score_pairs``."""
    queries, videos = text_QD.shape[0], frames_VFD.shape[0]
    text = text_QD.unsqueeze(1).expand(-1, videos, -1).flatten(0, 1)
    frames = frames_VFD.unsqueeze(0).expand(queries, -1, -1, -1).flatten(0, 1)
    mask = mask_VF.unsqueeze(0).expand(queries, -1, -1).flatten(0, 1)
    return dense(cross(text, frames, mask)).unflatten(0, (queries, videos)).squeeze(-1)
