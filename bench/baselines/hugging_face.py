"""A checkpoint's text tower as Hugging Face transformers' CLIP, with a tokenizer of the same vocabulary."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModelWithProjection, CLIPTokenizer

from ...export.bundle.errors import BundleError
from ...export.bundle.text.bpe import BYTE_SYMBOLS, END_OF_WORD, Merge
from ...export.encoders.clip_text import TextTower
from .hugging_face_names import to_hugging_face

_START, _END = "<|startoftext|>", "<|endoftext|>"


def text_model(tower: TextTower) -> Any:
    """Transformers' ``CLIPTextModelWithProjection`` with the weights of ``tower``, in evaluation mode.

    Raises:
        BundleError: the tower is not CLIP's own, as one with prompts is not.
    """
    model: Any = CLIPTextModelWithProjection(CLIPTextConfig(**_configuration(tower)))
    state = {key: value for key, value in tower.state_dict().items() if not key.startswith("visual.")}
    state.pop("logit_scale", None)
    try:
        missing, unexpected = model.load_state_dict(to_hugging_face(state), strict=False)
    except KeyError as error:
        raise BundleError(f"transformers has no such text tower: {error.args[0]}") from error
    # Position ids are constants that some versions keep among the weights.
    if unexpected or [key for key in missing if not key.endswith("position_ids")]:
        raise BundleError(f"transformers has no such text tower: missing {missing}, unexpected {unexpected}")
    return model.eval()


def clip_tokenizer(merges: list[Merge]) -> Any:
    """Transformers' ``CLIPTokenizer`` of a vocabulary: byte symbols, those that end a word, merges, start and end."""
    symbols = list(BYTE_SYMBOLS.values())
    tokens = [*symbols, *(symbol + END_OF_WORD for symbol in symbols), *(a + b for a, b in merges), _START, _END]
    make: Any = CLIPTokenizer
    return make(vocab={token: place for place, token in enumerate(tokens)}, merges=merges)


def text_features(model: Any, tokenizer: Any, texts: list[str], words: int) -> Tensor:
    """Raw text embeddings [Q, D] as a user of transformers gets them, every text padded to ``words`` tokens."""
    given = tokenizer(texts, padding="max_length", truncation=True, max_length=words, return_tensors="pt")
    with torch.inference_mode():
        features: Tensor = model(**given).text_embeds
    return features


def _configuration(tower: TextTower) -> dict[str, Any]:
    """Sizes of a tower whose start and end token are the last two ids."""
    words, width = tower.positional_embedding.shape
    vocabulary = tower.token_embedding.num_embeddings
    block: Any = tower.transformer.resblocks[0]
    return {
        "hidden_size": width,
        "intermediate_size": 4 * width,
        "num_hidden_layers": len(tower.transformer.resblocks),
        "num_attention_heads": block.attn.heads,
        "vocab_size": vocabulary,
        "max_position_embeddings": words,
        "projection_dim": tower.text_projection.shape[1],
        "hidden_act": "quick_gelu",
        "bos_token_id": vocabulary - 2,
        "eos_token_id": vocabulary - 1,
        "pad_token_id": vocabulary - 1,
    }
