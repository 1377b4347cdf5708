"""What All-in-one's heads share: embeddings, one transformer, and all heads that the weights hold."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from ..bundle.scorers import DOT
from ..encoders.bert import Embeddings
from ..encoders.post_ln import key_bias
from ..encoders.unified import AllInOneSizes, Transformer
from .contract import pixels
from .word_pieces import WordPieceSystem

MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


class AllInOneBase(WordPieceSystem):
    """Embeddings, transformer and every head that the weights hold."""

    name = "all_in_one"

    def __init__(
        self, sizes: AllInOneSizes, *, trained: Sequence[str], frames: int, max_tokens: int, heads: int
    ) -> None:
        super().__init__()
        width = sizes.width
        self.sizes, self.text_sizes, self.max_tokens, self.trained = sizes, sizes, max_tokens, trained
        self.text_embeddings = Embeddings(width, sizes.vocab_size, sizes.positions)
        self.token_type_embeddings = nn.Embedding(2, width)
        self.transformer = Transformer(sizes, heads)
        self.pooler = nn.ModuleDict({"dense": nn.Linear(width, width)})
        if "vtc" in trained:
            self.txt_proj, self.vid_proj = (nn.Linear(width, sizes.embed_dim) for _ in range(2))
        if "irtr" in trained:
            self.rank_output = nn.Linear(width, 1)
        elif "itm" in trained:
            self.itm_score = nn.ModuleDict({"fc": nn.Linear(width, 2)})
        self.video_inputs = (pixels(frames, sizes.image_size),)

    def place_text(self, token_ids: Tensor) -> Tensor:
        """Token ids int64 [Q, W] to [Q, W, D]."""
        placed: Tensor = self.text_embeddings(token_ids) + self.token_type_embeddings.weight[0]
        return placed

    def place_video(self, frames: Tensor) -> Tensor:
        """Frames [V, F, 3, H, W], uint8 or normalised, to [V, F, 1 + P, D]."""
        placed: Tensor = self.transformer.place_frames(self.normalised(frames)) + self.token_type_embeddings.weight[1]
        return placed

    def normalised(self, frames: Tensor) -> Tensor:
        """Frames of any shape, uint8 or normalised, as they are trained on."""
        return frames if frames.is_floating_point() else self.standardise(frames)

    def embed_text(self, placed: Tensor, token_ids: Tensor) -> Tensor:
        """Placed tokens [Q, W, D] and their ids [Q, W] to vectors [Q, E]."""
        bias = key_bias(token_ids != 0, placed.dtype)
        embedding: Tensor = self.txt_proj(self.transformer.first(placed, bias))
        return embedding

    def embed_video(self, placed: Tensor) -> Tensor:
        """Placed tokens [V, F, 1 + P, D] to vectors [V, E]: the frames one by one, and their mean."""
        frames = self.transformer.first(placed.flatten(0, 1)).unflatten(0, (-1, placed.shape[1]))
        embedding: Tensor = self.vid_proj(frames.mean(1))
        return embedding

    def standardise(self, frames: Tensor) -> Tensor:
        """As ``System.standardise``: ImageNet's mean and deviation."""
        wanted = self.token_type_embeddings.weight
        mean, std = (wanted.new_tensor(values)[:, None, None] for values in (MEAN, STD))
        return (frames.to(wanted.dtype) - mean) / std

    @property
    def embed_dim(self) -> int:
        """As ``System.embed_dim``."""
        return self.sizes.embed_dim if self.scorer is DOT else self.sizes.width
