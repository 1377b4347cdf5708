"""What is told of hits beside their ids and scores, where a request asks for it."""

from __future__ import annotations

from collections.abc import Sequence

from ...export.bundle.limits import MAX_FACT_BYTES
from .facts import Facts
from .listing import joined
from .ranking import Ranked
from .view import View


def details(view: View, facts: Facts | None, ranked: Ranked, after: str | None) -> str:
    """JSON of one text's hits: ``hits`` are their facts, best first, where ``facts`` are wanted.

    ``next`` is the cursor of the next page, null where there is none, and ``among`` the number of videos of which these
    are the best. An item of ``hits`` is null where the facts before it fill what an answer may hold, and where the
    video has gone meanwhile.
    """
    told = [] if facts is None else hit_facts(facts, view.numbers[ranked.rows].tolist())
    return joined(told, "hits", next=after, among=view.videos)


def hit_facts(facts: Facts, numbers: Sequence[int]) -> list[str]:
    """The facts of rows as JSON, as many as there is room for."""
    told, left = [], MAX_FACT_BYTES
    for fact in facts.of(numbers):
        text = "null" if fact is None else fact.hit()
        left -= len(text)
        told.append(text if left >= 0 else "null")
    return told
