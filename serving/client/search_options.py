"""What is asked of a search or a list beside its texts, as a request's parameters."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

from ...export.bundle.errors import InvalidRequest
from ...export.bundle.limits import MAX_PAGED, MAX_WHERE_BYTES


def search_options(*, facts: object, where: object, min_score: object, offset: object, after: object) -> dict[str, Any]:
    """Parameters of a search; what is as if it were not given is left out.

    Raises:
        InvalidRequest: a value of another type or out of range.
    """
    if not isinstance(facts, bool):
        raise InvalidRequest(f"facts is {type(facts).__name__}: give True or False")
    if isinstance(offset, bool) or not isinstance(offset, Integral) or not 0 <= int(offset) < MAX_PAGED:
        raise InvalidRequest(f"offset is {offset!r}, it must be a whole number from 0 to {MAX_PAGED - 1}")
    asked: dict[str, Any] = {"facts": True} if facts else {}
    if min_score is not None:
        if isinstance(min_score, bool) or not isinstance(min_score, Real):
            raise InvalidRequest(f"min_score is {type(min_score).__name__}: give a number")
        asked["min_score"] = float(min_score)
    if offset:
        asked["offset"] = int(offset)
    return {**asked, **narrowed(where, after)}


def narrowed(where: object, after: object) -> dict[str, Any]:
    """Parameters of a filter and of a cursor.

    Raises:
        InvalidRequest: no texts, or a filter that is too long.
    """
    for name, text in (("where", where), ("after", after)):
        if text is not None and not isinstance(text, str):
            raise InvalidRequest(f"{name} is {type(text).__name__}: give a text")
    if isinstance(where, str) and len(where) > MAX_WHERE_BYTES:
        raise InvalidRequest(f"the filter has more than {MAX_WHERE_BYTES} bytes: name candidates instead")
    return {name: text for name, text in (("where", where), ("after", after)) if text}
