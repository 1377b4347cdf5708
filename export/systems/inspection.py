"""What a checkpoint's keys and shapes tell about a system, with reasons, and what has to be taken on trust."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from ..bundle.errors import CheckpointError
from ..encoders.clip import ClipConfig
from ..encoders.transformer import HEAD_WIDTH

# Beyond any use, and before memory ends.
_MOST = {"frames": 1024, "samples": 10_000}


@dataclass
class Findings:
    """Options of one system.

    Args:
        system: its name.
        state: normalised state_dict.
        why: what showed that it is this system.
    """

    system: str
    state: Mapping[str, Tensor]
    why: str
    # Read off the weights, taken as the authors' default, and a line of reason for each.
    found: dict[str, Any] = field(default_factory=dict)
    assumed: dict[str, Any] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)

    def read(self, name: str, value: Any, why: str) -> None:
        """Note an option that the weights show."""
        self.found[name], self.reasons[name] = value, why

    def assume(self, name: str, value: Any, why: str) -> None:
        """Note an option that the weights don't show, with its default."""
        self.assumed[name], self.reasons[name] = value, why

    def shape(self, key: str, dims: int) -> torch.Size:
        """The shape of a tensor that must be there, with that many dimensions.

        Raises:
            CheckpointError: it is not.
        """
        if key not in self.state:
            raise self.error(f"it has no {key}")
        shape = self.state[key].shape
        if len(shape) != dims:
            raise self.error(f"{key} has shape {list(shape)}, which should have {dims} dimensions")
        if 0 in shape:
            raise self.error(f"{key} has shape {list(shape)}, which holds nothing")
        return shape

    def count(self, stem: str) -> int:
        """How many layers there are under ``stem``, which ends in a dot."""
        return len({key[len(stem) :].split(".")[0] for key in self.state if key.startswith(stem)})

    def has(self, prefix: str) -> bool:
        """Whether any tensor's name starts so."""
        return any(key.startswith(prefix) for key in self.state)

    def error(self, fault: str) -> CheckpointError:
        """What was recognised, and what is wrong with it."""
        return CheckpointError(f"the checkpoint was recognised as {self.system} ({self.why}), but {fault}")

    def towers(self) -> None:
        """Read both towers' sizes into the option ``clip``."""
        dims = {"visual.conv1.weight": 4, "token_embedding.weight": 2, "ln_final.weight": 1}
        tables = dict.fromkeys(("visual.positional_embedding", "positional_embedding", "text_projection"), 2)
        for key, rank in {**dims, **tables}.items():
            self.shape(f"clip.{key}", rank)
        clip = ClipConfig.from_state(self.state)
        places = self.state["clip.visual.positional_embedding"].shape[0]
        if (clip.image_size // clip.patch) ** 2 + 1 != places:
            raise self.error(f"clip.visual.positional_embedding has {places} rows, which is no square and one")
        for tower, layers in (("vision", clip.vision_layers), ("text", clip.text_layers)):
            if not layers:
                raise self.error(f"its {tower} tower has no blocks")
        self.read(
            "clip",
            clip,
            f"vision {clip.vision_width} wide with {clip.vision_layers} blocks, patch {clip.patch}, "
            f"{clip.image_size} px; text {clip.text_width} wide with {clip.text_layers} blocks, "
            f"{clip.context_length} positions, {clip.vocab_size} tokens; embeddings {clip.embed_dim} wide",
        )
        for tower, width in (("vision", clip.vision_width), ("text", clip.text_width)):
            self.assume(f"{tower}_heads", max(1, width // HEAD_WIDTH), f"heads are not in the weights: {width} / 64")

    def settle(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Found values, then ``options``, then assumed ones; the towers' heads go into ``clip``.

        Raises:
            CheckpointError: an option is unknown to the system or contradicts the weights.
        """
        for name, value in options.items():
            if name in self.found and value != self.found[name]:
                raise CheckpointError(
                    f"{name} is {value} by the options but {self.found[name]} by the checkpoint's weights "
                    f"({self.reasons[name]})"
                )
            if name not in self.found and name not in self.assumed:
                known = ", ".join(sorted({*self.found, *self.assumed} - {"clip"}))
                raise CheckpointError(f"{self.system} has no option {name}; it has {known}")
            least, usual = 0 if name == "samples" else 1, self.assumed.get(name)
            if type(usual) is int and (type(value) is not int or value < least):
                raise CheckpointError(f"{name} is {value!r}, it must be a whole number of at least {least}")
            if type(usual) is int and value > _MOST.get(name, value):
                raise CheckpointError(f"{name} is {value}, it must be at most {_MOST[name]}")
            if type(usual) is float and (type(value) not in (int, float) or not 0 < value < math.inf):
                raise CheckpointError(f"{name} is {value!r}, it must be a number above 0")
            if type(usual) is str and type(value) is not str:
                raise CheckpointError(f"{name} is {value!r}, it must be a name")
        values = {**self.assumed, **options, **self.found}
        rows = values["clip"].context_length
        if values.get("max_tokens", 1) > rows:
            raise self.error(f"max_tokens is {values['max_tokens']}, its text tower has {rows} positions")
        heads = {name: values.pop(name) for name in ("vision_heads", "text_heads") if name in values}
        return {**values, "clip": replace(values["clip"], **heads)}


def listed(keys: Iterable[str]) -> str:
    """The first names up to two dots, each once: what a person needs to see of a state_dict's keys."""
    groups = list(dict.fromkeys(".".join(key.split(".")[:2]) for key in keys))
    return ", ".join(groups[:12]) + (f" and {len(groups) - 12} more" if len(groups) > 12 else "")
