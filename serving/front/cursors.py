"""A cursor leads to further hits of its own search, and to no other's.

The models see a text as numbers that depend a little on what else was in its batch, and a film that was sent as its
frames, so it is the door that marks a cursor with what is searched with: on its way to a client, and back.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterable, Sequence

from ...export.bundle.errors import InvalidRequest
from ...export.bundle.packing import pack_rows
from ...export.bundle.ports import DETAILS
from .upstream import Output, Tensor

_AFTER = "after"
_MARK_BYTES = 6
# As letters, digits, - and _.
_MARK = _MARK_BYTES * 4 // 3
_NEXT = b'"next":"'
# No object follows it but for the whole one's end, so it is none that a video's metadata holds.
_END = re.compile(rb'"next":"([\w-]+)(","among":[^{}]*\})\0*', re.ASCII)


def read_cursor(options: bytes, queries: Sequence[bytes]) -> bytes:
    """A search's options as JSON, their cursor as the models gave it.

    Args:
        queries: what is searched with, as ``queries`` tells.

    Raises:
        InvalidRequest: it is of another query, or none of ours.
    """
    # Nearly all have none.
    if _AFTER.encode() not in options:
        return options
    values = json.loads(options)
    if not (cursor := values.get(_AFTER)):
        return options
    if len(queries) != 1:
        raise InvalidRequest("a cursor is of one text: ask for the next pages of several one by one")
    if len(cursor) <= _MARK:
        raise InvalidRequest("the cursor can't be read: give the one that came with the page before")
    if cursor[:_MARK] != mark(queries[0]):
        raise InvalidRequest("the cursor is of another search: text, video, filter and threshold have to be the same")
    return json.dumps({**values, _AFTER: cursor[_MARK:]}).encode()


def with_cursors(outputs: list[Output], queries: Sequence[bytes]) -> list[Output]:
    """The outputs of a search, every query's cursor marked with that query."""
    return [_marked(output, queries) if output.name == DETAILS else output for output in outputs]


def _marked(output: Output, queries: Sequence[bytes]) -> Output:
    row = len(output.raw) // len(queries)
    told = [bytes(output.raw[place * row : (place + 1) * row]) for place in range(len(queries))]
    ends = [_END.fullmatch(each, max(0, each.rfind(_NEXT))) for each in told]
    if not any(ends):
        return output
    made = [
        each if end is None else each[: end.start(1)] + mark(asked).encode() + end[1] + end[2]
        for each, end, asked in zip(told, ends, queries, strict=True)
    ]
    rows = pack_rows([each.rstrip(b"\0") for each in made])
    return Output(output.name, output.datatype, rows.shape, memoryview(rows.tobytes()))


def queries(texts: Sequence[str], sent: Iterable[Tensor] = ()) -> list[bytes]:
    """What the rows of a search are searched with, as bytes that no other query has; none where the models tell it.

    Args:
        sent: a video or features that came along, beside a text or in its place.
    """
    ordered = sorted(sent, key=lambda tensor: tensor.name)
    digests = [tensor.digest or hashlib.sha256(tensor.raw).digest() for tensor in ordered]
    if not texts:
        return [b"".join(digests)] if digests else []
    return [b"".join((*digests, text.encode())) for text in texts]


def mark(query: bytes) -> str:
    """What stands before a cursor of this query."""
    return base64.urlsafe_b64encode(hashlib.sha256(query).digest()[:_MARK_BYTES]).decode()
