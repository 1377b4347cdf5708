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


def check_bert(weights: Weights, prefix: str, layers: str, inner: str, *, types: bool = True) -> None:
    """Check that the tensors are there that show the sizes of a BERT.

    Args:
        prefix: what its names begin with.
        layers: what the names of its layers begin with, behind the prefix.
        inner: the layer's matrix that shows the width between its last two.
        types: whether it has a table of types.

    Raises:
        CheckpointError: one is missing or misshapen, or there are no layers.
    """
    tables = ("word_embeddings", "position_embeddings", *(("token_type_embeddings",) if types else ()))
    for table in tables:
        weights.shape(f"{prefix}embeddings.{table}.weight", 2)
    if not weights.count(f"{prefix}{layers}"):
        raise weights.error("its text tower has no layers")
    weights.shape(f"{prefix}{layers}0.{inner}.weight", 2)
    positions = weights.state[f"{prefix}embeddings.position_embeddings.weight"].shape[0]
    weights.most["max_tokens"] = positions, f"its text tower has {positions} positions"


def described(text: BertConfig) -> str:
    """How a text tower's sizes read, for a person."""
    return f"text {text.width} wide with {text.layers} layers, {text.positions} positions, {text.vocab_size} tokens"
