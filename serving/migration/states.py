"""What two galleries hold of each video, in a few bytes, and how the one is behind the other."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from ...export.bundle.checks import DIGEST_BYTES
from ...export.bundle.ports import CUTTING, DIGEST, ID, METADATA, SEGMENTS, SOURCE
from ...export.bundle.segments import content_digest
from ..gallery.reader import Reader
from ..gallery.store import Gallery

_HASH_BYTES = 8
# Of a state: what its record was made of. The rest stands for its metadata.
_CONTENT = DIGEST_BYTES + _HASH_BYTES
_COLUMNS = (DIGEST, SOURCE, METADATA, SEGMENTS, CUTTING)

# By id: what stands for a file and how it is cut, and hashes of source and metadata, together 48 bytes.
States = Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class Kept:
    """What a gallery keeps of a video beside its record: how many segments it has, and how it is cut, as JSON."""

    id: str
    source: str
    digest: bytes
    metadata: str
    segments: int = 1
    cutting: str = ""

    @property
    def state(self) -> bytes:
        """Equal for two that need not be made again."""
        return content_digest(self.digest, self.cutting) + _hash(self.source) + _hash(self.metadata)


@dataclass(frozen=True)
class Behind:
    """Ids by what has to be done in a copy: videos to ``make``, metadata to ``tell`` anew, videos to ``remove``."""

    make: Sequence[str] = field(default=())
    tell: Sequence[str] = field(default=())
    remove: Sequence[str] = field(default=())

    def __len__(self) -> int:
        return len(self.make) + len(self.tell) + len(self.remove)


def states(gallery: Gallery) -> dict[str, bytes]:
    """The state of every video at the latest version.

    Raises:
        GalleryError: the gallery can't be read, or has changed on disk.
    """
    reader = gallery.reader()
    with reader.pinned():
        return {kept.id: kept.state for batch in reader.batches(_COLUMNS) for kept in _kept(batch)}


def kept(reader: Reader, ids: Sequence[str]) -> Iterator[Kept]:
    """What a version of a gallery keeps of those ``ids`` that are there."""
    for batch in reader.named(ids, _COLUMNS, segment=0):
        yield from _kept(batch)


def behind(old: States, copy: States, without: States) -> Behind:
    """What a copy lacks.

    Args:
        without: states of videos that can't be made, so that what the copy has of them is to be removed: it is the
            record of another file. One that is in another state by now is tried again.
    """
    tried = {id_: state for id_, state in old.items() if without.get(id_) != state}
    return Behind(
        [id_ for id_, state in tried.items() if copy.get(id_, b"")[:_CONTENT] != state[:_CONTENT]],
        [
            id_
            for id_, state in tried.items()
            if id_ in copy and copy[id_] != state and copy[id_][:_CONTENT] == state[:_CONTENT]
        ],
        [id_ for id_ in copy if id_ not in tried],
    )


def changed(before: States, now: States) -> set[str]:
    """The ids that came, went or changed between two looks at a gallery."""
    return {id_ for id_ in before.keys() | now.keys() if before.get(id_) != now.get(id_)}


def last_number(gallery: Gallery) -> int:
    """The largest number of a row, which every later row exceeds; -1 of an empty gallery."""
    return int(np.max(gallery.reader().sequences(), initial=-1))


def _kept(batch: pa.RecordBatch) -> Iterator[Kept]:
    columns = (batch.column(name).to_pylist() for name in (ID, *_COLUMNS))
    for id_, digest, source, metadata, segments, cutting in zip(*columns, strict=True):
        yield Kept(id_, source, digest, metadata, segments, cutting)


def _hash(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=_HASH_BYTES).digest()
