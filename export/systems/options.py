"""Options of a system: what a checkpoint's weights may not show, and an export may have to be given.

Imports nothing heavy: the command line makes its own options of ``FLAGS``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..bundle.errors import CheckpointError

_LARGEST = 1e30


@dataclass(frozen=True)
class Option:
    """One option, as a system's card declares it.

    A default, its reason, and whether there is such an option may depend on the weights. Then they are functions of the
    towers' sizes and of the options that the weights show.

    Attributes:
        default: what is assumed; its type is the option's.
        why: why it has to be assumed.
        what: what it is, where the name does not say it.
        least, most: bounds of a whole number.
        flag: what the command line says of it, where it has a flag of its own there.
        applies: whether there is such an option.
    """

    name: str
    default: Any
    why: str | Callable[[Any, Mapping[str, Any]], str] = ""
    what: str = ""
    least: int = 1
    most: int | None = None
    flag: str = ""
    applies: Callable[[Any, Mapping[str, Any]], bool] = lambda sizes, found: True

    def assumed(self, sizes: Any, found: Mapping[str, Any]) -> tuple[Any, str]:
        """The default and its reason, for towers of ``sizes`` and what the weights show."""
        default, why = (part(sizes, found) if callable(part) else part for part in (self.default, self.why))
        return default, why

    def check(self, value: Any, default: Any) -> None:
        """Refuse a value of another kind than ``default``, or beyond the bounds.

        Raises:
            CheckpointError: the message says what it must be.
        """
        kind = type(default)
        if kind is int and (type(value) is not int or value < self.least):
            raise CheckpointError(f"{self.name} is {value!r}, it must be a whole number of at least {self.least}")
        if kind is int and self.most is not None and value > self.most:
            raise CheckpointError(f"{self.name} is {value}, it must be at most {self.most}")
        if kind is float and (type(value) not in (int, float) or not 0 < value < _LARGEST):
            raise CheckpointError(f"{self.name} is {value!r}, it must be a number above 0")
        if kind is str and type(value) is not str:
            raise CheckpointError(f"{self.name} is {value!r}, it must be a name")
        if kind is bool and type(value) is not bool:
            raise CheckpointError(f"{self.name} is {value!r}, it must be true or false")
        if kind not in (int, float, str) and type(value) is not kind:
            raise CheckpointError(f"{self.name} is {value!r}, it must be like {default!r}")


# Those with a flag of their own on the command line; each system's card says what it assumes and why.
FRAME_COUNT = Option(
    # Far beyond any use, and before memory ends.
    "frames",
    12,
    "frames are not in the weights",
    most=1024,
    flag="Frames per video, where the weights don't tell.",
)
MAX_TOKENS = Option(
    "max_tokens",
    32,
    "token positions are not in the weights",
    least=3,
    flag="Token positions per text, where the weights don't tell.",
)
TOP_K = Option("top_k", None, flag="How many frames, or patches of a frame, are kept, in a system that chooses.")
HEADS = Option("heads", 1, flag="Attention heads of the scorer, or of the header.")
FLAGS = (FRAME_COUNT, MAX_TOKENS, TOP_K, HEADS)
