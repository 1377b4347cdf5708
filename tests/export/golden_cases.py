"""Cases made with the authors' own code: tensors in, tensors out, and the sizes of the model."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from framesift.export.checkpoint import normalised
from framesift.export.encoders.bert import BertConfig
from framesift.export.encoders.clip import Clip, ClipConfig
from framesift.export.encoders.resnet import RESNET_50, Stage
from framesift.export.systems.clipbert import ClipBertSizes, GridEncoder
from framesift.export.systems.inspection import inspect
from framesift.export.systems.registry import cards

COMMITTED = Path(__file__).parents[1] / "golden"
_ROOT = Path(__file__).parents[2]


def folders() -> list[Path]:
    """The committed cases, and those of FRAMESIFT_GOLDEN or else of a folder called golden beside the project."""
    if "FRAMESIFT_GOLDEN" in os.environ:
        return [COMMITTED, Path(os.environ["FRAMESIFT_GOLDEN"])]
    return [COMMITTED, *sorted(path for path in _ROOT.parent.glob("*/golden") if path.is_dir())]


FOLDERS = folders()
CODE = {card.code: card.name for card in cards() if card.code and not card.page}


def system_of(meta: Path) -> str | None:
    source = json.loads(meta.read_text()).get("source", "")
    return next((name for code, name in CODE.items() if source.startswith(code)), None)


def tensors_of(meta: Path) -> Path:
    return meta.with_name(meta.name.replace(".meta.json", ".safetensors"))


def cases() -> Iterator[tuple[Path, str, Path]]:
    """Every case once, wherever else it lies as well: its folder, its system and its file."""
    seen = set()
    for folder in FOLDERS:
        for path in sorted(folder.rglob("*.meta.json")):
            system = system_of(path)
            if system is None or "multicaption" in path.name:
                continue
            content = hashlib.sha256(path.read_bytes() + tensors_of(path).read_bytes()).digest()
            if content not in seen:
                seen.add(content)
                yield folder, system, path


CASES = [
    pytest.param(system, path, id=f"{folder.name}-{system}-{path.name.removesuffix('.meta.json')}")
    for folder, system, path in cases()
]
# Systems whose videos come as features.
FEATURES = ("howto100m", "mmt", "actbert")
# Names in the cases' configurations to options of the systems.
OPTIONS = {
    "max_frames": "frames",
    "num_frames": "frames",
    "F": "frames",
    "max_words": "max_tokens",
    "W": "max_tokens",
    "sim_header": "header",
    "vision_heads": "vision_heads",
    "heads_vision": "vision_heads",
    "text_heads": "text_heads",
    "heads_text": "text_heads",
    "header_heads": "heads",
    "num_mha_heads": "heads",
    "prompt_transformer_heads": "prompt_heads",
    "shared_latent_space": "space",
    "visual_output_type": "output",
    "unified_transformer_layers": "layers",
    "local_each_frame_prompt_length": "local",
    "text_prompt_length": "text",
    "topk": "top_k",
    "num_samples": "samples",
    "sigma": "sigma",
    "depth": "depth",
    "time_embed_size": "moments",
    "mug_tau": "tau",
    "heads": "heads",
    "v_heads": "region_heads",
    "a_heads": "action_heads",
    "bi_heads": "connection_heads",
    "max_regions": "regions",
    "max_actions": "actions",
    "n_clips": "clips",
    "num_frm": "clip_frames",
    "image": "image_size",
}
# Names that mean something else elsewhere.
OWN = {
    "mmt": {"T": "rows", "vid_heads": "video_heads"},
    "frozen": {"heads": "vision_heads"},
    "clover": {"image": "image_size", "window": "window"},
}


def with_towers(state: Mapping[str, Tensor], width: int, system: str) -> dict[str, Tensor]:
    """A head's weights with small random towers, so that a case without towers loads as a whole checkpoint does."""
    towers = ClipConfig(width, 32, 8, 64, 1, 64, 1, 64, 77)
    made = {f"clip.{key}": value for key, value in Clip(towers).state_dict().items()}
    if system == "ts2net":
        block = "clip.visual.transformer.resblocks.0.attn."
        made = {key.replace(block, f"{block}net."): value for key, value in made.items()}
    return {**made, **state}


def with_convolutions(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Small random convolutions in front of a ClipBERT whose case begins with their features."""
    width = state["transformer.bert.pooler.dense.weight"].shape[0]
    stages = tuple(Stage(1, 4, 16) for _ in RESNET_50)
    made = GridEncoder(ClipBertSizes(4, stages, BertConfig(width))).state_dict()
    return {f"cnn.{key}": value for key, value in made.items()}


class Case:
    """A case's inputs in float64 and the model with its weights."""

    def __init__(self, system: str, meta: Path) -> None:
        self.meta: dict[str, Any] = json.loads(meta.read_text())
        self.tensors = load_file(tensors_of(meta))
        self.state = {key[3:]: value for key, value in self.tensors.items() if key.startswith("sd.")}
        self.config = self.meta["config"]
        self.whole = "in.video" in self.tensors or system in FEATURES
        if system == "howto100m":
            width = self.state["text_pooling.fc.weight"].shape[1]
            table = self.tensors.get("in.word_table", torch.ones(3, width))
            self.state["word_vectors.weight"] = torch.cat([torch.zeros(1, width), table])
        if system == "stan" and not self.state:
            return
        if system == "clipbert" and not self.whole:
            self.state = {**with_convolutions(self.state), **self.state}
        elif not self.whole:
            width = next(self[key].shape[-1] for key in ("in.sequence_output", "in.text_embeds") if key in self.tensors)
            self.state = with_towers(self.state, width, system)
        inspection = inspect(normalised(self.state))
        assert inspection.card.name == system, inspection.weights.why
        names = OPTIONS | OWN.get(system, {})
        options = {names[key]: value for key, value in self.config.items() if key in names}
        if "model" in self.config:
            options["head"] = "mug" if "Mug" in self.config["model"] else "stan"
        if not self.whole:
            options = {key: value for key, value in options.items() if key not in ("vision_heads", "text_heads")}
        if "dims" in self.config and system == "howto100m":
            options["width_2d"] = self.config["dims"]["2d"]
        known = {*inspection.found, *inspection.assumed}
        if system != "xpool":
            assert known >= {"frames"} & set(options)
        # What the weights show must be what the case says: an option that contradicts them is refused.
        resolved = inspection.resolve({key: value for key, value in options.items() if key in known})
        self.options = resolved.kept
        self.model: Any = resolved.build().double()

    def __getitem__(self, key: str) -> Tensor:
        tensor = self.tensors[key]
        return tensor.double() if tensor.is_floating_point() else tensor

    def check(self, got: Mapping[str, Tensor]) -> None:
        """Every stored output must be among ``got`` and agree."""
        stored = {key[4:] for key in self.tensors if key.startswith("out.")}
        assert stored <= set(got), f"not compared: {sorted(stored - set(got))}"
        deviations = self.meta["max_abs_fp32_vs_fp64"]
        for name in sorted(stored):
            want, value = self[f"out.{name}"], got[name]
            allowed = 3 * deviations.get(name, max(deviations.values()))
            assert value.shape == want.shape, name
            off = (value - want).abs() - want.abs() * 2.0**-24
            assert off.max() <= allowed, f"{name} is off by {off.max():.3g}, allowed are {allowed:.3g}"

    def check_scores(self, scores: Tensor, name: str) -> None:
        want = self[f"out.{name}"]
        assert torch.equal(scores.argsort(1, descending=True), want.argsort(1, descending=True))


def clip_features(case: Case, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Raw text and frame embeddings, computed from token ids and pixels, or given where the case is a head alone."""
    if case.whole:
        frames = (case["in.video"],) if mask is None else (case["in.video"], mask)
        return case.model.clip(case["in.input_ids"]), case.model.embed_frames(*frames)
    return case["in.sequence_output"].squeeze(1), case["in.visual_output"]
