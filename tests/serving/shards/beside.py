"""One gallery as one server keeps it, and the same in shards: the bodies of the models of both, in this process."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from framesift.export.bundle.errors import FramesiftError
from framesift.export.bundle.manifest import Manifest
from framesift.export.bundle.models import EMBEDDED_VARIABLE, GALLERY_VARIABLE
from framesift.export.bundle.packing import pack_joined, pack_rows, unpack_joined
from framesift.export.bundle.ports import (
    CANDIDATE_LENGTHS,
    CANDIDATES,
    CHANGE_LENGTHS,
    CHANGES,
    DETAILS,
    DIGEST,
    DURATION,
    ID,
    ID_LENGTHS,
    IDS,
    METADATA,
    OPTIONS,
    PART,
    SCORES,
    SOURCE,
    SPAN,
    TIMESTAMPS,
    TOP,
    VERSION,
)
from framesift.export.bundle.video.part import Part
from framesift.serving.backends.base import Arrays, Backend
from framesift.serving.backends.gallery_index import GalleryIndex
from framesift.serving.backends.gallery_lookup import GalleryLookup
from framesift.serving.backends.gallery_search import GallerySearch
from framesift.serving.gallery.rows import GalleryEntry
from framesift.serving.gallery.schema import GallerySchema
from framesift.serving.gallery.shards import open_shards
from framesift.serving.shards import gallery_index, gallery_lookup, gallery_search
from framesift.serving.shards.connection import SECRET_BYTES
from framesift.serving.shards.directory import DEADLINE_VARIABLE, SHARDS_VARIABLE, Directory
from framesift.serving.shards.service import Service
from framesift.serving.shards.shard import Shard

from ...waiting import until

SECRET = "ours".ljust(SECRET_BYTES)


@dataclass
class Kept:
    """A gallery, by the bodies of its models."""

    search: Backend
    index: Backend
    lookup: Backend
    version: int = 0

    def add(self, entries: Sequence[GalleryEntry]) -> None:
        """Index videos, one request each."""
        for answer in self.index.run([row_of(entry) for entry in entries]):
            self.version = max(self.version, int(one([answer])[VERSION].max()))

    def change(self, changes: Mapping[str, Mapping[str, Any]]) -> Arrays:
        """Remove or change videos."""
        ids, lengths = pack_joined([id_.encode() for id_ in changes])
        joined, bytes_of = pack_joined([json.dumps(change).encode() for change in changes.values()])
        answer = one(self.lookup.run([{IDS: ids, ID_LENGTHS: lengths, CHANGES: joined, CHANGE_LENGTHS: bytes_of}]))
        self.version = max(self.version, int(answer[VERSION][0]))
        return answer

    def found(self, text: Mapping[str, np.ndarray], top: int, named: Sequence[str] = (), **options: Any) -> list[Any]:
        """What a search shows of every row: ids, scores, weights, facts, and how many it was among."""
        answer = one(self.search.run([request(text, top, named, **options)]))
        return shown(answer)

    def wait(self, text: Mapping[str, np.ndarray]) -> None:
        """Until searches see everything that was written."""
        until(lambda: one(self.search.run([request(text, 1)]))[VERSION].min() >= self.version)


def one(answers: Sequence[Arrays | FramesiftError]) -> Arrays:
    """The answer to the one request; raised where it is an error."""
    (answer,) = answers
    if isinstance(answer, FramesiftError):
        raise answer
    return answer


def request(text: Mapping[str, np.ndarray], top: int, named: Sequence[str] = (), **options: Any) -> dict[str, Any]:
    """A search's request."""
    rows = len(next(iter(text.values())))
    asked: dict[str, Any] = {**text, TOP: np.full((rows, 1), top, np.int32)}
    if named:
        joined, lengths = pack_joined([id_.encode() for id_ in named])
        asked[CANDIDATES], asked[CANDIDATE_LENGTHS] = np.tile(joined, (rows, 1)), np.tile(lengths, (rows, 1))
    if options:
        asked[OPTIONS] = np.tile(np.frombuffer(json.dumps(options).encode(), np.uint8), (rows, 1))
    return asked


def shown(answer: Arrays) -> list[Any]:
    """An answer's rows as values that can be compared."""
    told = [json.loads(row.tobytes().rstrip(b"\0")) for row in answer[DETAILS]] if DETAILS in answer else None
    rows = []
    for row in range(len(answer[SCORES])):
        ids = [id_ for id_ in unpack_joined(answer[IDS][row], answer[ID_LENGTHS][row], IDS) if id_]
        arrays = {
            name: answer[name][row][: len(ids)].tobytes()
            for name in answer
            if name not in (IDS, ID_LENGTHS, VERSION, DETAILS) and answer[name].shape[1:2] == answer[SCORES].shape[1:2]
        }
        details = None if told is None else {"hits": told[row]["hits"], "among": told[row]["among"]}
        rows.append((ids, arrays, details, told and told[row]["next"] is None))
    return rows


def pages(
    kept: Kept, text: Mapping[str, np.ndarray], top: int, between: Callable[[], Any], **options: Any
) -> list[Any]:
    """All pages of a search."""
    found, after = [], {}
    while True:
        answer = one(kept.search.run([request(text, top, **{"facts": True, **options, **after})]))
        found.append(shown(answer)[0])
        told = json.loads(answer[DETAILS][0].tobytes().rstrip(b"\0"))
        if told["next"] is None:
            return found
        after = {"after": told["next"]}
        options.pop("offset", None)
        between()


def listed(kept: Kept, top: int, where: str = "") -> list[list[dict[str, Any]]]:
    """All pages of the list of videos."""
    found, after = [], ""
    while True:
        options = {"list": True, "top": top, "where": where, "after": after}
        raw = np.frombuffer(json.dumps(options).encode(), np.uint8)[None]
        told = json.loads(one(kept.search.run([{OPTIONS: raw}]))[DETAILS][0].tobytes().rstrip(b"\0"))
        found.append([told["count"], *told["videos"]])
        if told["next"] is None:
            return found
        after = told["next"]


@contextmanager
def beside(
    folder: Path,
    manifest: Manifest,
    files: Mapping[str, bytes],
    count: int,
    monkeypatch: pytest.MonkeyPatch,
    replicas: int = 1,
) -> Iterator[tuple[Kept, Kept, list[Service]]]:
    """One server's bodies over a new gallery, and those over ``count`` shards, which are services of this process.

    The services are those of the first shard's replicas, then those of the second's.
    """
    version = folder / "version"
    version.mkdir(parents=True)
    for name, content in {**files, "manifest.json": manifest.to_json().encode()}.items():
        (version / name).write_bytes(content)
    monkeypatch.setenv(GALLERY_VARIABLE, str(folder / "one"))
    alone = Kept(GallerySearch(), GalleryIndex(), GalleryLookup())
    for body in (alone.index, alone.lookup, alone.search):
        body.setup({}, version)
    over = over_shards(folder / "shards", version, manifest, count, monkeypatch, replicas)
    try:
        with over as (together, services):
            yield alone, together, services
    finally:
        for body in (alone.search, alone.index, alone.lookup):
            body.finalize()


@contextmanager
def over_shards(
    gallery: Path, version: Path, manifest: Manifest, count: int, monkeypatch: pytest.MonkeyPatch, replicas: int = 1
) -> Iterator[tuple[Kept, list[Service]]]:
    """The bodies over a gallery in shards, which is made where it is not there, and the services of all replicas."""
    kept = open_shards(gallery, GallerySchema.of(manifest), count)
    # A shard's process is its own, and says so to itself; this one is not.
    monkeypatch.setenv(EMBEDDED_VARIABLE, "1")
    shards = [Shard(version, each.root) for each in kept for _ in range(replicas)]
    monkeypatch.delenv(EMBEDDED_VARIABLE)
    services = [Service(shard, "127.0.0.1", SECRET) for shard in shards]
    path = gallery.parent / f"directory of {gallery.name}"
    tell(path, [services[start : start + replicas] for start in range(0, len(services), replicas)])
    monkeypatch.setenv(SHARDS_VARIABLE, str(path))
    monkeypatch.setenv(DEADLINE_VARIABLE, "60")
    together = Kept(gallery_search.GallerySearch(), gallery_index.GalleryIndex(), gallery_lookup.GalleryLookup())
    bodies = (together.index, together.lookup, together.search)
    for body in bodies:
        body.setup({}, version)
    try:
        yield together, services
    finally:
        for body in bodies:
            body.finalize()
        for service, shard in zip(services, shards, strict=True):
            service.close()
            shard.close()


def tell(path: Path, services: Sequence[Sequence[Service]], secret: str = SECRET) -> None:
    """Say which services answer for each shard."""
    addresses = [[f"127.0.0.1:{service.port}" for service in each] for each in services]
    Directory(secret, addresses, max(map(len, addresses))).write(path)


def row_of(entry: GalleryEntry) -> dict[str, Any]:
    """A request to index a video, or a segment of a film."""
    part = Part(entry.segment.number, entry.id, segment=entry.segment)
    cut = {PART: pack_rows([part.json().encode()]), SPAN: np.array([entry.segment], np.float64)}
    return {
        **(cut if entry.segment.total > 1 else {}),
        ID: pack_rows([entry.id.encode()]),
        SOURCE: pack_rows([entry.source.encode()]),
        DIGEST: np.frombuffer(entry.digest, np.uint8)[None],
        METADATA: pack_rows([entry.metadata.encode()]),
        TIMESTAMPS: np.asarray(entry.timestamps, np.float32)[None],
        DURATION: np.array([[entry.duration]], np.float32),
        **{name: np.asarray(values, np.float32)[None] for name, values in entry.tensors.items()},
    }
