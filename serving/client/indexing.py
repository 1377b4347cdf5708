"""Indexing the files that a command line named: what the gallery has already is skipped."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Any, Literal

from ...export.bundle.errors import (
    AccessDenied,
    ClientError,
    FramesiftError,
    GalleryError,
    InvalidVideo,
    ServerUnavailable,
)
from ...export.bundle.segments import Cutting, cut_digest
from .digests import Digests, Stamp, digest_of
from .discover import NamedVideo
from .results import Indexed
from .sync import Client
from .uploads import joined_digest

# Whatever the next file is, it would fail alike.
_ENDS = (AccessDenied, ClientError, GalleryError, ServerUnavailable)


@dataclass(frozen=True)
class Outcome:
    """What became of one file; ``reason`` says why it failed, ``indexed`` what the gallery holds of it now.

    ``uncut`` says that the gallery had the film in segments, and has it whole now.
    """

    path: str | os.PathLike[str]
    status: Literal["indexed", "skipped", "failed"]
    reason: str = ""
    indexed: Indexed | None = None
    uncut: bool = False


def index_files(
    client: Client,
    files: Sequence[NamedVideo],
    told: Callable[[Outcome], object],
    *,
    jobs: int = 4,
    force: bool = False,
    metadata: Mapping[str, Mapping[str, Any]] | None = None,
    digests: Digests | None = None,
    cutting: Cutting | None = None,
    reached: Callable[[str | os.PathLike[str], int, int], object] = lambda path, done, total: None,
) -> None:
    """Index files, ``jobs`` at a time; ``told`` is called as each ends, and what it raises ends the run.

    A file whose content the gallery has under its id already is skipped, unless ``force``; so a run that was cut off
    goes on where it stopped. ``metadata`` is by id. ``digests`` spares reading what did not change. ``cutting`` says
    how films are cut, which is part of what the gallery has. ``reached`` is called by threads, with a film's path, its
    segments so far and how many it has, where it is sent in pieces.

    Raises:
        ServerUnavailable: the server stays away for all.
        AccessDenied: it does not let this caller index.
        GalleryError: the gallery can't be written.
    """
    digests = digests or Digests(None)
    known = {} if force else client.lookup([file.id for file in files]).digests
    skipped = set()
    for file in unchanged(files, known, digests, jobs, cutting):
        skipped.add(file.id)
        told(Outcome(file.path, "skipped"))
    left = [file for file in files if file.id not in skipped]
    before = [Stamp.of(file.path) for file in left]

    def ended(place: int, result: Indexed | FramesiftError) -> None:
        path, stamp = left[place].path, before[place]
        # Others may be taken all the same, where it is this file that the server can't cope with.
        if isinstance(result, _ENDS) and not (isinstance(result, ServerUnavailable) and client.ready()):
            raise result
        if isinstance(result, FramesiftError):
            told(Outcome(path, "failed", str(result)))
            return
        if stamp is not None and left[place].features is None and Stamp.of(path) == stamp:
            digests.put(path, stamp, result.file_digest)
        told(Outcome(path, "indexed", indexed=result, uncut=cutting is None and result.before is not None))

    facts = metadata or {}
    items = [(file.path, file.id, facts.get(file.id), file.features) for file in left]

    def within(place: int, done: int, total: int) -> None:
        reached(left[place].path, done, total)

    client.index_many(items, jobs=jobs, progress=ended, reached=within, segments=cutting)


def unchanged(
    files: Sequence[NamedVideo],
    known: Mapping[str, bytes],
    digests: Digests,
    jobs: int,
    cutting: Cutting | None = None,
) -> Iterator[NamedVideo]:
    """The files whose content, cut so, is that which is ``known`` of their ids, ``jobs`` of them read at a time."""
    unread: list[tuple[NamedVideo, Stamp]] = []
    for file in files:
        if file.id not in known or (stamp := Stamp.of(file.path)) is None:
            continue
        # Of a film with a feature file both are read: what is remembered is of one file.
        digest = digests.get(file.path, stamp) if file.features is None else None
        if digest is None:
            unread.append((file, stamp))
        elif cut_digest(digest, cutting) == known[file.id]:
            yield file
    pool = ThreadPoolExecutor(jobs, thread_name_prefix="read")
    try:
        futures = {pool.submit(_digest, file): (file, stamp) for file, stamp in unread}
        for future in as_completed(futures):
            (file, stamp), digest = futures[future], future.result()
            if digest is not None and file.features is None and Stamp.of(file.path) == stamp:
                digests.put(file.path, stamp, digest)
            if cut_digest(digest, cutting) == known[file.id]:
                yield file
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _digest(file: NamedVideo) -> bytes | None:
    try:
        film = digest_of(file.path)
        return film if file.features is None else joined_digest(film, digest_of(file.features))
    except InvalidVideo:
        return None
