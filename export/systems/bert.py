"""What systems with a BERT for texts share: the option of its length, random texts, and small sizes for examples."""

from __future__ import annotations

from dataclasses import replace
from string import ascii_lowercase, digits

import torch
from torch import Tensor

from ..encoders.bert import BertConfig
from ..encoders.heads import usual_heads
from .options import MAX_TOKENS, Option
from .weights import Weights

# Of the examples' vocabulary, after the four special ones: every word of small letters can be made of these.
SMALL_PIECES = (*ascii_lowercase, *digits, *(f"##{sign}" for sign in ascii_lowercase + digits), ".", "circle", "##ing")
SMALL_BERT = BertConfig(width=32, layers=2, inside=64, vocab_size=4 + len(SMALL_PIECES), positions=40)

TEXT_HEADS = Option(
    "text_heads",
    lambda sizes, found: usual_heads(sizes.text.width),
    lambda sizes, found: f"heads are not in the weights: {sizes.text.width} / 64",
)
# The mask makes any number the same but for what it cuts.
TOKENS = replace(MAX_TOKENS, why=f"{MAX_TOKENS.why}, and a longer text is cut")


def random_texts(vocab_size: int, rows: int, length: int, generator: torch.Generator) -> Tensor:
    """Random texts: token ids int64 [rows, length] of 2 to ``length`` tokens, and zeros behind them."""
    ids = torch.randint(1, vocab_size, (rows, length), generator=generator)
    used = torch.randint(2, length + 1, (rows, 1), generator=generator)
    return torch.where(torch.arange(length) < used, ids, 0)


def bert_sizes(weights: Weights, prefix: str, *, distilled: bool = False, paddles: bool = False) -> BertConfig:
    """The sizes of a BERT that the weights show.

    Args:
        prefix: what its names begin with.
        distilled: whether it is a DistilBERT, whose layers have other names and which has no table of types.
        paddles: whether its matrices lie as Paddle's do, [in, out].

    Raises:
        CheckpointError: a tensor that shows a size is missing or misshapen, or there are no layers.
    """
    stem, inner = ("transformer.layer.", "ffn.lin1") if distilled else ("encoder.layer.", "intermediate.dense")
    vocab_size, width = weights.shape(f"{prefix}embeddings.word_embeddings.weight", 2)
    positions = weights.shape(f"{prefix}embeddings.position_embeddings.weight", 2)[0]
    types = 0 if distilled else weights.shape(f"{prefix}embeddings.token_type_embeddings.weight", 2)[0]
    layers = weights.count(f"{prefix}{stem}")
    if not layers:
        raise weights.unfit("its text tower has no layers")
    inside = weights.shape(f"{prefix}{stem}0.{inner}.weight", 2)[int(paddles)]
    weights.most["max_tokens"] = positions, f"its text tower has {positions} positions"
    return BertConfig(width, layers, inside, vocab_size, positions, types)


def described(text: BertConfig) -> str:
    """How a text tower's sizes read, for a person."""
    return f"text {text.width} wide with {text.layers} layers, {text.positions} positions, {text.vocab_size} tokens"
