"""Hugging Face's CLIP names to OpenAI's, and what some authors wrap around either.

Hugging Face keeps query, key and value apart and its projections transposed; the mathematics is the same.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

_PARTS = {
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
    "self_attn.out_proj": "attn.out_proj",
    "temporal_fc": "temporal_fc",
}
_WHOLE = {
    "text_model.embeddings.token_embedding.weight": "token_embedding.weight",
    "text_model.embeddings.position_embedding.weight": "positional_embedding",
    "text_model.final_layer_norm.weight": "ln_final.weight",
    "text_model.final_layer_norm.bias": "ln_final.bias",
    "vision_model.embeddings.class_embedding": "visual.class_embedding",
    "vision_model.embeddings.patch_embedding.weight": "visual.conv1.weight",
    "vision_model.embeddings.position_embedding.weight": "visual.positional_embedding",
    "vision_model.pre_layrnorm.weight": "visual.ln_pre.weight",
    "vision_model.pre_layrnorm.bias": "visual.ln_pre.bias",
    "vision_model.post_layernorm.weight": "visual.ln_post.weight",
    "vision_model.post_layernorm.bias": "visual.ln_post.bias",
    "vision_model.STAN_time_embed.weight": "visual.STAN_time_embed.weight",
    "logit_scale": "logit_scale",
}
_TRANSPOSED = {"visual_projection.weight": "visual.proj", "text_projection.weight": "text_projection"}
_LAYER = re.compile(r"(text|vision)_model\.encoder\.(layers|STAN_[ST]_layers)\.(\d+)\.(.+)\.(weight|bias)")
# STAN takes Hugging Face's CLIP apart: its vision tower lies at the top of ``backbone``, these in ``embeddings``.
_STAN_EMBEDDINGS = {"class_embedding", "patch_embedding.weight", "position_embedding.weight"}
_STAN_STACKS = ("layers.", "STAN_S_layers.", "STAN_T_layers.")
# Names at the top of a bare CLIP, OpenAI's and Hugging Face's.
_BARE_CLIP = (
    "visual.",
    "transformer.resblocks.",
    "token_embedding.",
    "positional_embedding",
    "ln_final.",
    "text_projection",
    "logit_scale",
    "text_model.",
    "vision_model.",
    "visual_projection.",
)


def with_clip_prefix(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Put a bare CLIP's tensors under ``clip.``; one that has the prefix, or no CLIP, comes back as it is."""
    bare = {"visual.conv1.weight", "vision_model.embeddings.patch_embedding.weight"} & set(state)
    if not bare or any(key.startswith("clip.") for key in state):
        return dict(state)
    return {f"clip.{key}" if key.startswith(_BARE_CLIP) else key: tensor for key, tensor in state.items()}


def own_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """TABLE's layout, which is framesift's own, allows two names for one table."""
    return {"cross.kind" if key == "cross.type" else key: tensor for key, tensor in state.items()}


def legacy_layer_norms(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Old checkpoints call a LayerNorm's weight ``gamma`` and its bias ``beta``."""
    leaves = {"gamma": "weight", "beta": "bias"}
    renamed = {}
    for key, tensor in state.items():
        stem, dot, leaf = key.rpartition(".")
        renamed[f"{stem}{dot}{leaves.get(leaf, leaf)}"] = tensor
    return renamed


def stan_to_hugging_face(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """STAN's ``backbone.*`` and ``text_backbone.*`` to the names of a Hugging Face CLIP under ``clip.``.

    A state without STAN's own layers comes back as it is.
    """
    if not any(key.startswith("backbone.STAN_") for key in state):
        return dict(state)
    renamed = {}
    for key, tensor in state.items():
        name = key.removeprefix("backbone.")
        if key.startswith("text_backbone."):
            renamed["clip." + key.removeprefix("text_backbone.")] = tensor
        elif name == key:
            renamed[key] = tensor
        elif name in _STAN_EMBEDDINGS:
            renamed[f"clip.vision_model.embeddings.{name}"] = tensor
        elif name.startswith(_STAN_STACKS):
            renamed[f"clip.vision_model.encoder.{name}"] = tensor
        else:
            renamed["clip." + ("" if name.startswith("visual_projection.") else "vision_model.") + name] = tensor
    return renamed


def to_openai(state: Mapping[str, Tensor], prefix: str = "clip.") -> dict[str, Tensor]:
    """Rename every Hugging Face tensor under ``prefix``; leave all others, OpenAI's among them, as they are.

    ``position_ids`` buffers are dropped. A layer that lacks one of its query, key and value projections keeps its old
    names, so that the loader's list of unexpected keys shows them.
    """
    renamed: dict[str, Tensor] = {}
    split: dict[str, dict[str, tuple[str, Tensor]]] = {}
    for key, tensor in state.items():
        name = key.removeprefix(prefix)
        if not key.startswith(prefix):
            renamed[key] = tensor
        elif name.endswith("embeddings.position_ids"):
            continue
        elif name in _WHOLE:
            renamed[prefix + _WHOLE[name]] = tensor
        elif name in _TRANSPOSED:
            renamed[prefix + _TRANSPOSED[name]] = tensor.T.contiguous()
        elif match := _LAYER.fullmatch(name):
            tower, stack, layer, part, leaf = match.groups()
            blocks = "transformer.resblocks" if stack == "layers" else stack
            block = f"{prefix}{'visual.' if tower == 'vision' else ''}{blocks}.{layer}"
            if part in _PARTS:
                renamed[f"{block}.{_PARTS[part]}.{leaf}"] = tensor
            elif part in {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"}:
                split.setdefault(f"{block}.attn.in_proj_{leaf}", {})[part[10]] = (key, tensor)
            else:
                renamed[key] = tensor
        else:
            renamed[key] = tensor
    for name, parts in split.items():
        if set(parts) == set("qkv"):
            renamed[name] = torch.cat([parts[p][1] for p in "qkv"])
        else:
            renamed.update(dict(parts.values()))
    return renamed
