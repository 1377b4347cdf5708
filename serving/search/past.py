"""A view as it was at an earlier version, and what a client holds of it to go on from there."""

from __future__ import annotations

import base64
import binascii
import struct
import zlib
from dataclasses import dataclass, replace

import numpy as np

from ...export.bundle.errors import InvalidRequest
from ...export.bundle.limits import MAX_PAGED
from ..gallery.numbering import first_number
from .named import Named
from .view import Numbers, View

_HEAD = struct.Struct("<BqI8s")
_FORM = 1
MARK_BYTES = 8


def at(view: View, version: int, named: Named) -> View:
    """A view of the same rows as the gallery had at ``version``, but for videos that were removed since.

    Rows are in the order in which they were written, so what came later is at the end; what was replaced since is still
    there until the rows are swept.

    Args:
        named: knows the rows of this view by their ids.

    Raises:
        InvalidRequest: that version can't be told any more.
    """
    if version == view.version:
        return view
    if not view.since <= version <= view.version:
        raise InvalidRequest(
            f"the pages of version {version} of the gallery have expired, because it has changed too much since or its "
            "server was started again: begin with the first page"
        )
    rows = int(np.searchsorted(view.numbers, first_number(version, 0)))
    later = np.arange(rows, len(view.numbers))
    gone = np.zeros(len(view.numbers), np.bool_)
    gone[view.dead] = True
    before = view.dead < rows
    since = before & (view.died > version)
    if since.any():
        newest = [named.latest(view, view.ids[row]) for row in view.dead[since].tolist()]
        since[since] = [row is not None and row >= rows and not gone[row] for row in newest]
    dead = view.dead[before & ~since]
    return replace(view, version=version, count=rows - len(dead), dead=np.concatenate([dead, later]).astype(np.intp))


@dataclass(frozen=True)
class Cursor:
    """Where a next page begins.

    Attributes:
        version: of the gallery that the first page showed.
        mark: of what is asked, of ``MARK_BYTES``: a cursor goes on with that alone.
        top: places of the first page.
        shown: numbers of the rows that earlier pages had, ascending.
    """

    version: int
    mark: bytes
    top: int
    shown: Numbers

    def text(self) -> str:
        """The cursor as letters, digits, - and _."""
        numbers = np.diff(self.shown, prepend=0).astype("<i8").tobytes()
        raw = _HEAD.pack(_FORM, self.version, self.top, self.mark) + zlib.compress(numbers)
        return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()

    @staticmethod
    def read(text: str, mark: bytes) -> Cursor:
        """A cursor that a client sends back.

        Raises:
            InvalidRequest: it is none, or of something else.
        """
        try:
            raw = base64.b64decode(text.encode() + b"=" * (-len(text) % 4), b"-_", validate=True)
            form, version, top, own = _HEAD.unpack_from(raw)
            inflater = zlib.decompressobj()
            numbers = inflater.decompress(raw[_HEAD.size :], 8 * MAX_PAGED)
            shown = np.cumsum(np.frombuffer(numbers, "<i8"))
            if form != _FORM or not inflater.eof or inflater.unused_data or (np.diff(shown, prepend=-1) <= 0).any():
                raise ValueError("it was changed")
        except (ValueError, struct.error, zlib.error, binascii.Error) as error:
            raise InvalidRequest("the cursor can't be read: give the one that came with the page before") from error
        if own != mark:
            raise InvalidRequest("the cursor is of another search: texts, filter and threshold have to be the same")
        return Cursor(version, own, top, shown)
