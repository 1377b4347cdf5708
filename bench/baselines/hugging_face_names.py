"""OpenAI's names of CLIP's tensors to Hugging Face's: the way back of ``export/systems/state_dict_keys.py``."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

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
