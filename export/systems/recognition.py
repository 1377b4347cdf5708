"""Whether names of tensors are a system's, and where in a file's names a system's begin. Needs no torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator

from .registry import cards

# Of what names begin with: parts, and the share of the names that must begin so.
_DEEPEST, _NEARLY_ALL = 4, 0.9


def recognisable(names: Iterable[str]) -> bool:
    """Whether a system has a sign among the names of a normalised state_dict."""
    signs = tuple(sign.prefix for card in cards() for sign in card.signs)
    return any(name.startswith(signs) for name in names)


def prefixes(names: Collection[str]) -> Iterator[str]:
    """What nearly all names begin with, up to a dot, the shortest first."""
    under = ""
    for _ in range(_DEEPEST):
        parts = [name.removeprefix(under).partition(".") for name in names if name.startswith(under)]
        counts = Counter(first for first, dot, _ in parts if dot)
        most, count = max(counts.items(), key=lambda item: item[1], default=("", 0))
        if not names or count < _NEARLY_ALL * len(names):
            return
        under += f"{most}."
        yield under
