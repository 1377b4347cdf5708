"""What was promised, how often it was tried, and whether it held."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

# Told how many of the attack's tries were made since it was told last.
Progress = Callable[[int], object]
_SHOWN = 5


@dataclass
class Row:
    """One promise. ``worst`` is the figure that came closest to breaking it; ``fell`` says what broke it."""

    promise: str
    tried: int = 0
    held: int = 0
    worst: str = ""
    fell: list[str] = field(default_factory=list)

    def see(self, held: bool, otherwise: str) -> bool:
        """Count one try; ``otherwise`` says what happened where the promise did not hold."""
        self.tried += 1
        self.held += held
        if not held:
            self.fell.append(otherwise)
        return held


def rendered(rows: Sequence[Row]) -> str:
    """The table, and below it what broke a promise."""
    cells = [("promise", "tried", "held", "worst")]
    cells += [(row.promise, f"{row.tried:,}", f"{row.held:,}", row.worst) for row in rows]
    first, last = (max(len(cell[place]) for cell in cells) for place in (0, 3))
    lines = [f"{name:<{first}}  {tried:>9}  {held:>9}  {worst:<{last}}".rstrip() for name, tried, held, worst in cells]
    lines.insert(1, "-" * max(map(len, lines)))
    for row in rows:
        lines += [f"FELL  {row.promise}: {what}" for what in row.fell[:_SHOWN]]
        if len(row.fell) > _SHOWN:
            lines.append(f"FELL  {row.promise}: and {len(row.fell) - _SHOWN:,} more")
    # What broke a promise may be bytes that are no text.
    return "\n".join(lines).encode("utf-8", "backslashreplace").decode("utf-8")
