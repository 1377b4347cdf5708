"""A checkpoint's towers as Hugging Face transformers' CLIP, with a tokenizer of the same vocabulary."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer

from ...export.bundle.bpe import BYTE_SYMBOLS, END_OF_WORD, Merge
from ...export.encoders.clip import Clip, ClipConfig
from .hugging_face_names import to_hugging_face

_START, _END = "<|startoftext|>", "<|endoftext|>"


def configuration(sizes: ClipConfig) -> dict[str, Any]:
    """The arguments of ``CLIPConfig`` for towers of these sizes, whose start and end token are the last two ids."""
    return {
        "projection_dim": sizes.embed_dim,
        "text_config": {
            "hidden_size": sizes.text_width,
            "intermediate_size": 4 * sizes.text_width,
            "num_hidden_layers": sizes.text_layers,
            "num_attention_heads": sizes.text_heads or max(1, sizes.text_width // 64),
            "vocab_size": sizes.vocab_size,
            "max_position_embeddings": sizes.context_length,
            "projection_dim": sizes.embed_dim,
            "hidden_act": "quick_gelu",
            "bos_token_id": sizes.vocab_size - 2,
            "eos_token_id": sizes.vocab_size - 1,
            "pad_token_id": sizes.vocab_size - 1,
        },
        "vision_config": {
            "hidden_size": sizes.vision_width,
            "intermediate_size": 4 * sizes.vision_width,
            "num_hidden_layers": sizes.vision_layers,
            "num_attention_heads": sizes.vision_heads or max(1, sizes.vision_width // 64),
            "image_size": sizes.image_size,
            "patch_size": sizes.patch,
            "projection_dim": sizes.embed_dim,
            "hidden_act": "quick_gelu",
        },
    }


def clip_model(clip: Clip, sizes: ClipConfig) -> Any:
    """Transformers' ``CLIPModel`` with the weights of ``clip``, in evaluation mode."""
    model: Any = CLIPModel(CLIPConfig(**configuration(sizes)))
    missing, unexpected = model.load_state_dict(to_hugging_face(clip.state_dict()), strict=False)
    # Position ids are constants that some versions keep among the weights.
    if unexpected or [key for key in missing if not key.endswith("position_ids")]:
        raise KeyError(f"transformers' CLIP does not fit: missing {missing}, unexpected {unexpected}")
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
        found = model.get_text_features(**given)
    # Transformers 5 returns it among others.
    features: Tensor = getattr(found, "pooler_output", found)
    return features
