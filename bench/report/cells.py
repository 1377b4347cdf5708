"""Tables as lines of cells, the first of them the head; and how numbers stand in them."""

from __future__ import annotations

import re
from collections.abc import Callable

from .results import Results

# A number by itself, a ratio, or a time or size.
_NUMBER = re.compile(r"[\d.,]+(e-?\d+)?([%x]| ms| MB|$)")

Lines = list[list[str]]
Tabling = Callable[[Results], Lines | None]


def markdown(lines: Lines) -> str:
    """Lines of cells as a Markdown table; numbers stand to the right."""
    head, *rest = lines
    firsts = [next((cell for cell in column if cell), "") for column in zip(*rest, strict=True)]
    rule = ["---:" if _NUMBER.match(cell) else "---" for cell in firsts]
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, rule, *rest))


def ms(value: float | None) -> str:
    """Milliseconds, or nothing where there were none."""
    return "" if value is None else f"{value:.1f}"


def times(ratio: float | None) -> str:
    """A ratio, with as many digits as mean something; or nothing."""
    if ratio is None:
        return ""
    return f"{ratio:.0f}x" if ratio >= 10 else f"{ratio:.1f}x" if ratio >= 1 else f"{ratio:.2f}x"
