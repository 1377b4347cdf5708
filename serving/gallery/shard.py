"""Which part of all ids belongs together: of a run over several pods, or of a gallery over several machines."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from ...export.bundle.errors import InvalidRequest

# In the folder of a gallery in shards.
NOTE = "shards.json"
# A cursor names a version of each.
MAX_SHARDS = 256
# Of one shard: every one has all of its records in memory.
MAX_REPLICAS = 16
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

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    def has(self, id_: str) -> bool:
        """Whether an id belongs to this part."""
        return part_of(id_, self.count) == self.number


def part_of(id_: str, count: int) -> int:
    """The part of ``count`` to which an id belongs: it follows from the SHA-256 of its bytes."""
    # What is no UTF-8 can't be an id, but somebody has to say so.
    first = hashlib.sha256(id_.encode("utf-8", "surrogatepass")).digest()[:8]
    return int.from_bytes(first, "big") % count


def told_of_shards(root: Path) -> str:
    """What is to be said of a folder that holds no gallery of its own, because it holds one in shards."""
    return f", but one in shards: name one of them, such as {root / 'shard-0'}" if (root / NOTE).is_file() else ""
