"""A checkpoint's weights, read for a system: keys and shapes, and what they show."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ..bundle.errors import CheckpointError


@dataclass
class Weights:
    """A state_dict that is taken for a system's.

    Args:
        state: normalised, see ``checkpoint.normalised``.
        system: the system's name.
        why: what shows that it is that system's.
        bring: what to bring where it is damaged or of another variant.
    """

    state: Mapping[str, Tensor]
    system: str
    why: str
    bring: str = ""
    # Options that the weights show, and for each how.
    found: dict[str, Any] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    # How the sizes of the towers read, in a line for a person.
    towers: str = ""
    # The largest value of an option that the weights allow, and why.
    most: dict[str, tuple[int, str]] = field(default_factory=dict)

    def read(self, name: str, value: Any, why: str) -> None:
        """Note an option that the weights show."""
        self.found[name], self.reasons[name] = value, why

    def shape(self, key: str, dims: int) -> torch.Size:
        """The shape of a tensor that must be there, with that many dimensions.

        Raises:
            CheckpointError: it is not.
        """
        if key not in self.state:
            raise self.unfit(f"it has no {key}")
        shape = self.state[key].shape
        if len(shape) != dims:
            raise self.unfit(f"{key} has shape {list(shape)}, which should have {dims} dimensions")
        if 0 in shape:
            raise self.unfit(f"{key} has shape {list(shape)}, which holds nothing")
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

    def unfit(self, fault: str) -> CheckpointError:
        """As ``error``, of weights that are not whole, or not those of the system's models, with what to bring."""
        return self.error(f"{fault}. It is damaged, or of another variant{self.bring and f': {self.bring}'}")


def listed(keys: Iterable[str]) -> str:
    """The first names up to two dots, each once: what a person needs to see of a state_dict's keys."""
    groups = list(dict.fromkeys(".".join(key.split(".")[:2]) for key in keys))
    return ", ".join(groups[:12]) + (f" and {len(groups) - 12} more" if len(groups) > 12 else "")
