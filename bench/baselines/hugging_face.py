"""A checkpoint's towers as Hugging Face transformers' CLIP, with a tokenizer of the same vocabulary."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer

from ...export.bundle.bpe import BYTE_SYMBOLS, END_OF_WORD, Merge
from ...export.encoders.clip import Clip, ClipConfig

_START, _END = "<|startoftext|>", "<|endoftext|>"
_WHOLE = {
    "token_embedding.weight": "text_model.embeddings.token_embedding.weight",
    "positional_embedding": "text_model.embeddings.position_embedding.weight",
    "ln_final.weight": "text_model.final_layer_norm.weight",
    "ln_final.bias": "text_model.final_layer_norm.bias",
    "visual.class_embedding": "vision_model.embeddings.class_embedding",
    "visual.conv1.weight": "vision_model.embeddings.patch_embedding.weight",
    "visual.positional_embedding": "vision_model.embeddings.position_embedding.weight",
    "visual.ln_pre.weight": "vision_model.pre_layrnorm.weight",
    "visual.ln_pre.bias": "vision_model.pre_layrnorm.bias",
    "visual.ln_post.weight": "vision_model.post_layernorm.weight",
    "visual.ln_post.bias": "vision_model.post_layernorm.bias",
    "logit_scale": "logit_scale",
}
_TRANSPOSED = {"visual.proj": "visual_projection.weight", "text_projection": "text_projection.weight"}
_PARTS = {
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
    "attn.out_proj": "self_attn.out_proj",
}
_BLOCK = re.compile(r"(visual\.)?transformer\.resblocks\.(\d+)\.(.+?)[._](weight|bias)")


def to_hugging_face(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """OpenAI's names and layouts, without a prefix, to Hugging Face's: the way back of ``systems.names.to_openai``."""
    renamed: dict[str, Tensor] = {}
    for key, tensor in state.items():
        if key in _WHOLE:
            renamed[_WHOLE[key]] = tensor
        elif key in _TRANSPOSED:
            renamed[_TRANSPOSED[key]] = tensor.T.contiguous()
        elif match := _BLOCK.fullmatch(key):
            visual, layer, part, leaf = match.groups()
            block = f"{'vision' if visual else 'text'}_model.encoder.layers.{layer}"
            if part == "attn.in_proj":
                for name, third in zip("qkv", tensor.chunk(3), strict=True):
                    renamed[f"{block}.self_attn.{name}_proj.{leaf}"] = third.contiguous()
            else:
                renamed[f"{block}.{_PARTS[part]}.{leaf}"] = tensor
        else:
            raise KeyError(f"{key} is no tensor of CLIP")
    return renamed


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
