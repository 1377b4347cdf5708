"""What is asked of a search or a list beside its texts, as a request's parameters."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

from ...export.bundle.checks import check_filter
from ...export.bundle.errors import InvalidRequest
from ...export.bundle.limits import MAX_PAGED, MAX_SEGMENTS


def search_options(
    *,
    facts: object,
    segments: object,
    where: object,
    min_score: object,
    offset: object,
    after: object,
    partial: object,
) -> dict[str, Any]:
    """Parameters of a search; what is as if it were not given is left out.

    Raises:
        InvalidRequest: a value of another type or out of range.
    """
    flags = (("facts", facts), ("segments", segments), ("partial", partial))
    for name, value in flags:
        if not isinstance(value, bool):
            raise InvalidRequest(f"{name} is {type(value).__name__}: give True or False")
    if isinstance(offset, bool) or not isinstance(offset, Integral) or not 0 <= int(offset) < MAX_PAGED:
        raise InvalidRequest(f"offset is {offset!r}, it must be a whole number from 0 to {MAX_PAGED - 1}")
    asked: dict[str, Any] = {name: True for name, value in flags if value}
    if min_score is not None:
        if isinstance(min_score, bool) or not isinstance(min_score, Real):
            raise InvalidRequest(f"min_score is {type(min_score).__name__}: give a number")
        asked["min_score"] = float(min_score)
    if offset:
        asked["offset"] = int(offset)
    return {**asked, **narrowed(where, after)}


def like_options(text: object, like: object, weight: object, include: object, segment: object) -> dict[str, Any]:
    """Parameters of a search by a video.

    Raises:
        InvalidRequest: neither a text nor a video, or a value that is of no use, of another type or out of range.
    """
    if text is None and like is None:
        raise InvalidRequest("a search needs a text, a video to search with (like), or both")
    if not isinstance(include, bool):
        raise InvalidRequest(f"include is {type(include).__name__}: give True or False")
    if include and not isinstance(like, str):
        raise InvalidRequest("include is for the video of an id (like), which is no hit without it")
    asked: dict[str, Any] = {"include": True} if include else {}
    if segment is not None:
        if isinstance(segment, bool) or not isinstance(segment, Integral) or not 0 <= int(segment) < MAX_SEGMENTS:
            raise InvalidRequest(f"segment is {segment!r}, it must be a whole number from 0 to {MAX_SEGMENTS - 1}")
        if not isinstance(like, str):
            raise InvalidRequest("segment is one of the film of an id (like): give that, too")
        asked["segment"] = int(segment)
    if weight is None:
        return asked
    if text is None or like is None:
        raise InvalidRequest("weight is the share of a video (like) beside a text: give both")
    if isinstance(weight, bool) or not isinstance(weight, Real) or not 0 <= float(weight) <= 1:
        raise InvalidRequest(f"weight is {weight!r}, it must be a number from 0 to 1")
    return {**asked, "weight": float(weight)}


def narrowed(where: object, after: object) -> dict[str, Any]:
    """Parameters of a filter and of a cursor.

    Raises:
        InvalidRequest: no texts, or a filter that is empty or too long.
    """
    given: dict[str, Any] = {} if where is None else {"where": check_filter(where)}
    if after is not None and not isinstance(after, str):
        raise InvalidRequest(f"after is {type(after).__name__}: give a text")
    return {**given, "after": after} if after else given
