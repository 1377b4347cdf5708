"""Splitting a run over several processes that know nothing of one another, such as the pods of a Kubernetes job."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from ...export.bundle.errors import InvalidRequest

_WRITTEN = re.compile(r"(\d{1,6})/(\d{1,6})")


@dataclass(frozen=True)
class Shard:
    """Part ``number`` of ``count`` parts of all ids, counted from 0: the same ids whoever asks, in whatever order."""

    number: int
    count: int

    @staticmethod
    def read(text: str) -> Shard:
        """What is written as ``i/n``.

        Raises:
            InvalidRequest: it is not, or there is no such part.
        """
        found = _WRITTEN.fullmatch(text)
        if found is None or not int(found[1]) < int(found[2]):
            raise InvalidRequest(f"the shard {text!r} is none: write i/n, with i from 0 to n - 1")
        return Shard(int(found[1]), int(found[2]))

    def has(self, id_: str) -> bool:
        """Whether an id belongs to this part."""
        first = hashlib.sha256(id_.encode()).digest()[:8]
        return int.from_bytes(first, "big") % self.count == self.number
