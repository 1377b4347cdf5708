"""Which videos a run is for, and which of them the gallery has already."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from ...export.bundle.checks import dump_metadata
from ...export.bundle.segments import Cutting, cut_digest
from ..client.digests import Digests, Stamp
from ..client.discover import Found, NamedVideo, Refused
from ..client.indexing import unchanged
from ..gallery.shard import Shard
from ..gallery.store import Gallery
from .manifest import Listed
from .run import Told, with_known
from .video import Made, Video

_READERS = 4


class Source(ABC):
    """The videos of a run, as many as it is long.

    Attributes:
        images: how many images were left out.
    """

    images = 0

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def left(self, gallery: Gallery, told: Told, *, force: bool) -> Iterator[Video]:
        """Those to be made; ``told`` is called with each of the others. With ``force`` all are made that can be."""

    @abstractmethod
    def made(self, made: Made) -> None:
        """Take note of what became of a video."""


class Manifest(Source):
    """Videos that a manifest lists. Whoever reads one sees whether the gallery has its content."""

    def __init__(self, listed: Listed, shard: Shard, cutting: Cutting | None = None) -> None:
        self._videos = [replace(video, cutting=cutting) for video in listed.videos if shard.has(video.id)]
        self._refused = [one for one in listed.refused if shard.has(one.video.id)]

    def __len__(self) -> int:
        return len(self._videos) + len(self._refused)

    def left(self, gallery: Gallery, told: Told, *, force: bool) -> Iterator[Video]:
        """All whose content has to be looked at: a digest that the manifest tells spares that."""
        for refused in self._refused:
            told(refused)
        for video in with_known(gallery, self._videos):
            if force:
                yield replace(video, known=None)
            elif video.known is not None and video.known == cut_digest(video.digest, video.cutting):
                told(Made(video))
            else:
                yield video

    def made(self, made: Made) -> None:
        """Nothing: what is read elsewhere has no state that is seen here."""


class Files(Source):
    """Files of this machine. Those that have not changed since they were read last are not read again."""

    def __init__(
        self,
        found: Found,
        shard: Shard,
        facts: Mapping[str, Mapping[str, Any]],
        digests: Digests,
        cutting: Cutting | None = None,
    ) -> None:
        self._files = [file for file in found.videos if shard.has(file.id)]
        self.images = found.images
        self._refused = [made for made in map(_refused, found.refused) if shard.has(made.video.id)]
        self._facts, self._digests, self._cutting = facts, digests, cutting
        self._stamps: dict[str, tuple[NamedVideo, Stamp | None]] = {}

    def __len__(self) -> int:
        return len(self._files) + len(self._refused)

    def left(self, gallery: Gallery, told: Told, *, force: bool) -> Iterator[Video]:
        """All but those that can't be indexed, and those whose content the gallery has."""
        for refused in self._refused:
            told(refused)
        there, skipped = gallery.lookup([file.id for file in self._files]).digests, set()
        for file in unchanged(self._files, {} if force else there, self._digests, _READERS, self._cutting):
            skipped.add(file.id)
            told(Made(self._video(file)))
        other = [] if self._cutting is not None else [id_ for id_ in there if id_ not in skipped]
        before = gallery.reader().cuttings(other)
        for file in self._files:
            if file.id not in skipped:
                self._stamps[file.id] = file, Stamp.of(file.path)
                yield replace(self._video(file), before=before.get(file.id, ""))

    def made(self, made: Made) -> None:
        """Remember a file's digest, if it is still what was read."""
        file, stamp = self._stamps.pop(made.video.id, (None, None))
        if file is None or stamp is None or file.features is not None or not made.rows:
            return
        if Stamp.of(file.path) == stamp:
            self._digests.put(file.path, stamp, made.file_digest)

    def _video(self, file: NamedVideo) -> Video:
        path = os.path.abspath(file.path)
        return Video(
            file.id,
            path,
            path,
            None if file.features is None else os.path.abspath(file.features),
            dump_metadata(self._facts.get(file.id, {})),
            cutting=self._cutting,
        )


def _refused(one: Refused) -> Made:
    """What becomes of a file that can't be indexed: whoever reads it in a list of failures finds the file again."""
    path = os.path.abspath(one.path)
    return Made(Video(one.id or path, path, os.fspath(one.path)), reason=one.reason)
