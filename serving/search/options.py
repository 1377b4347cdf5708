"""What a request asks of a gallery beside its texts and ids: checked at the front door, and again where it is read."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from ...export.bundle.checks import check_id, check_top
from ...export.bundle.errors import InvalidRequest
from ...export.bundle.limits import MAX_CURSOR_BYTES, MAX_PAGED, MAX_SEGMENTS
from ...export.bundle.ports import OPTIONS
from .filters.parser import parse


@dataclass(frozen=True)
class Options:
    """Options of a search, a list or a lookup; by default all of them are as if not given.

    Attributes:
        facts: source, duration and metadata are wanted of every video.
        list: videos are to be listed, and nothing searched for.
        top: videos of a page of a list.
        after: the cursor that came with the page before.
        where: a filter of the videos, see ``filters``; empty for none.
        min_score: hits of a lower score are left out.
        offset: so many of the best hits are left out.
        like: the id of the video that is searched with.
        weight: the share of the video that is searched with, beside a text.
        segment: which segment of the film of that id is searched with; None for a video that has one alone.
        include: the video of that id may be a hit itself.
        segments: each segment of a film is a hit of its own, and not the film by its best one.
        partial: an answer of some shards will do, where others don't answer.

    Raises:
        InvalidRequest: a value of another type, or beyond its limit, or a filter that can't be read.
    """

    facts: bool = False
    list: bool = False
    top: int = 100
    after: str = ""
    where: str = ""
    min_score: float = -math.inf
    offset: int = 0
    like: str = ""
    weight: float = 0.5
    segment: int | None = None
    include: bool = False
    segments: bool = False
    partial: bool = False

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            kind = int if field.default is None else type(field.default)
            if kind is float and type(value) is int:
                object.__setattr__(self, field.name, _float(field.name, value))
            elif type(value) is not kind and (value is not None or field.default is not None):
                raise InvalidRequest(f"{field.name} is {type(value).__name__}, it must be {kind.__name__}")
        check_top(self.top)
        if math.isnan(self.min_score):
            raise InvalidRequest("min_score is not a number")
        if not 0 <= self.offset < MAX_PAGED:
            raise InvalidRequest(f"offset is {self.offset}, it must lie in 0..{MAX_PAGED - 1}")
        if self.offset and self.after:
            raise InvalidRequest("a cursor says where a page begins: give it without an offset")
        if not 0 <= self.weight <= 1:
            raise InvalidRequest(f"weight is {self.weight}, it must lie in 0..1: the share of the video beside a text")
        if self.like:
            check_id(self.like)
        if self.segment is not None and not 0 <= self.segment < (MAX_SEGMENTS if self.like else 0):
            raise InvalidRequest(
                f"segment is {self.segment}: it is the number of a segment, from 0, of the film of the id in like"
            )
        if self.where:
            parse(self.where)
        if len(self.after) > MAX_CURSOR_BYTES:
            raise InvalidRequest(f"the cursor has {len(self.after)} characters, no page ends with one of that size")

    @staticmethod
    def of(request: Mapping[str, np.ndarray[Any, Any]]) -> Options | None:
        """The options in a request's tensors, the same for all its rows; None where it has none.

        Raises:
            InvalidRequest: they can't be read, or there are other ones for each row.
        """
        if OPTIONS not in request:
            return None
        given = request[OPTIONS]
        if given.ndim > 1:
            if (given != given[:1]).any():
                raise InvalidRequest("all texts of a request must have the same options")
            given = given[0]
        try:
            return Options(**json.loads(given.tobytes()))
        except InvalidRequest:
            raise
        except (ValueError, TypeError, RecursionError) as error:
            raise InvalidRequest(f"the options can't be read: {str(error)[:100]}") from error

    def json(self) -> bytes:
        """The options that are not as by default, as a JSON object: the same for equal options."""
        given = ((field.name, getattr(self, field.name), field.default) for field in fields(self))
        return json.dumps({name: value for name, value, default in given if value != default}).encode()


def _float(name: str, value: int) -> float:
    try:
        return float(value)
    except OverflowError as error:
        raise InvalidRequest(f"{name} is larger than any number") from error
