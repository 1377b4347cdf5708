"""Videos in the order in which they were indexed, page by page."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...export.bundle.limits import MAX_FACT_BYTES
from .facts import Facts
from .past import Cursor
from .view import View


def page(
    view: View, facts: Facts, top: int, mark: bytes, cursor: Cursor | None = None, *, numbered: bool = False
) -> str:
    """JSON of up to ``top`` videos with their facts, fewer where these are large; ``next`` where there are more.

    Args:
        view: of the cursor's version.
        mark: of what is listed, see ``Cursor``.
        cursor: where the page before ended.
        numbered: tell the rows' ``numbers``, too.
    """
    last = -1 if cursor is None else int(cursor.shown[-1:].max(initial=-1))
    rows = view.one_each()
    rows = rows[np.searchsorted(view.films(rows), last, side="right") :]
    shown: list[str] = []
    numbers: list[int] = []
    passed = size = 0
    for row, fact in zip(rows.tolist(), facts.of(view.numbers[rows[:top]].tolist()), strict=False):
        # A row that was replaced before its facts were read has none: the video has others now, or is gone.
        if fact is None:
            fact = facts.latest(view.ids[row])
        if fact is not None:
            told = f'{{"id":{json.dumps(view.ids[row])},{fact.json()[1:]}'
            size += len(told)
            if shown and size > MAX_FACT_BYTES:
                break
            shown.append(told)
            numbers.append(int(view.numbers[row]))
        passed += 1
    ended = passed == len(rows)
    end = None if ended else Cursor(view.version, mark, top, view.films(rows[passed - 1 : passed])).text()
    beside = {"numbers": numbers} if numbered else {}
    return joined(shown, "videos", next=end, count=view.videos, version=view.version, **beside)


def joined(parts: Sequence[str], name: str, **others: Any) -> str:
    """A JSON object of a list whose items are JSON already, and of other values."""
    rest = json.dumps(others, separators=(",", ":"))
    return f'{{"{name}":[{",".join(parts)}]{"," if others else ""}{rest[1:]}'
