"""How much work may be in the house at once, and how callers share it.

Work counts from when it is let in until it ends, not until its client leaves: what was sent occupies the server anyway.
What is refused is refused at once, when it has cost next to nothing; a client may come again in a moment.
"""

from __future__ import annotations

from collections import Counter

# Requests with many rows find room for so many of their size.
_OF_ONE_SIZE = 4
# However many callers there are, and however little each of them has: so many times the limit, or so many rows.
_TIMES, _ROWS = 8, 256


class Admission:
    """Lets work in while fewer than ``limit`` rows are inside.

    Who is let in last may exceed the limit. While others are inside, nobody holds more than half of it; and whoever
    holds less than an equal part is let in even when the others fill it, unless those are very many.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._together = max(_TIMES * limit, _ROWS)
        self.rows = 0
        self._by_caller: Counter[str] = Counter()

    def enter(self, caller: str, rows: int = 1) -> bool:
        """Let so many rows in, or refuse them."""
        limit = max(self.limit, _OF_ONE_SIZE * rows)
        own = self._by_caller[caller]
        if own < self.rows:
            callers = len(self._by_caller) + (own == 0)
            equal = own < limit // callers and self.rows < self._together
            let_in = equal or (self.rows < limit and own < limit // 2)
        else:
            let_in = self.rows < limit
        if let_in:
            self._by_caller[caller] += rows
            self.rows += rows
        elif not own:
            del self._by_caller[caller]
        return let_in

    def leave(self, caller: str, rows: int = 1) -> None:
        """So many rows of a caller have ended."""
        self.rows -= rows
        self._by_caller[caller] -= rows
        if not self._by_caller[caller]:
            del self._by_caller[caller]
