"""What a client holds of a search over shards, to go on from there: what each shard showed, and of which version."""

from __future__ import annotations

import base64
import binascii
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...export.bundle.errors import InvalidRequest
from ...export.bundle.limits import MAX_PAGED
from ..gallery.shard import MAX_SHARDS
from ..search.past import MARK_BYTES
from ..search.view import Numbers

_HEAD = struct.Struct(f"<BqIH{MARK_BYTES}s")
# Cursors of a gallery that is not in shards begin with another number.
_FORM = 2
# Of a shard that did not answer the first page.
ABSENT = -1


@dataclass(frozen=True)
class ShardCursor:
    """Where a next page begins.

    Attributes:
        version: that the first page told.
        mark: of what is asked, see ``search.past``.
        top: places of the ranking that the first page took.
        versions: of every shard, as the first page showed it; ``ABSENT`` where it did not answer.
        shown: by shard the numbers of the first rows of the videos that earlier pages had, ascending.
    """

    version: int
    mark: bytes
    top: int
    versions: Sequence[int]
    shown: Sequence[Numbers]

    def text(self) -> str:
        """The cursor as letters, digits, - and _."""
        steps = [np.diff(numbers, prepend=0) for numbers in self.shown]
        counts = np.array([len(numbers) for numbers in self.shown], "<i4")
        body = [
            np.array(self.versions, "<i8").tobytes(),
            counts.tobytes(),
            np.concatenate(steps).astype("<i8").tobytes(),
        ]
        raw = _HEAD.pack(_FORM, self.version, self.top, len(self.versions), self.mark) + zlib.compress(b"".join(body))
        return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()

    @staticmethod
    def read(text: str, mark: bytes, shards: int) -> ShardCursor:
        """A cursor that a client sends back, of a gallery of so many shards.

        Raises:
            InvalidRequest: it is none, of something else, or of another number of shards.
        """
        try:
            raw = base64.b64decode(text.encode() + b"=" * (-len(text) % 4), b"-_", validate=True)
            form, version, top, count, own = _HEAD.unpack_from(raw)
            inflater = zlib.decompressobj()
            body = inflater.decompress(raw[_HEAD.size :], 12 * MAX_SHARDS + 8 * MAX_PAGED)
            if form != _FORM or not inflater.eof or inflater.unused_data:
                raise ValueError("it was changed")
            versions = np.frombuffer(body, "<i8", count)
            counts = np.frombuffer(body, "<i4", count, 8 * count)
            steps = np.frombuffer(body, "<i8", offset=12 * count)
            if (counts < 0).any() or counts.sum() != len(steps):
                raise ValueError("it was changed")
            shown = [np.cumsum(part) for part in np.split(steps, np.cumsum(counts)[:-1])]
            if any((np.diff(numbers, prepend=-1) <= 0).any() for numbers in shown):
                raise ValueError("it was changed")
        except (ValueError, struct.error, zlib.error, binascii.Error) as error:
            raise InvalidRequest("the cursor can't be read: give the one that came with the page before") from error
        if own != mark:
            raise InvalidRequest("the cursor is of another search: texts, filter and threshold have to be the same")
        if count != shards:
            raise InvalidRequest("the cursor is of another number of shards: begin with the first page")
        return ShardCursor(version, own, top, versions.tolist(), shown)
