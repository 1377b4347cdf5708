"""Indexing many files through one client."""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Any, Literal

from ...export.bundle.errors import DeadlineExceeded, InvalidInput, ServerUnavailable
from .discover import NamedVideo
from .sync import Client
from .uploads import digest_of

# Seconds to wait before each new try while the server is overloaded or restarting.
RETRY_AFTER_S = (0.5, 1.0, 2.0, 4.0, 8.0)


@dataclass(frozen=True)
class Outcome:
    """What became of one file; ``reason`` says why it failed."""

    file: NamedVideo
    status: Literal["indexed", "skipped", "failed"]
    reason: str = ""


def index_files(
    client: Client,
    files: Sequence[NamedVideo],
    *,
    jobs: int = 4,
    force: bool = False,
    metadata: Mapping[str, Mapping[str, Any]] | None = None,
    retry_after_s: Sequence[float] = RETRY_AFTER_S,
) -> Generator[Outcome, None, None]:
    """Index files, ``jobs`` at a time, and yield the outcomes as they come.

    A file whose content the gallery has under its id already is skipped, unless ``force``; so a run that was cut off
    goes on where it stopped. ``metadata`` is by id. When the caller stops iterating, files not begun are left out.

    Raises:
        ServerError: the server stays away for all, or fails for a reason that is not the file's.
        GalleryError: the gallery can't be written.
    """
    known = {} if force else client.lookup([file.id for file in files]).digests
    pool = ThreadPoolExecutor(jobs, thread_name_prefix="index")

    def work(file: NamedVideo) -> Outcome:
        try:
            if file.id in known and digest_of(file.path) == known[file.id]:
                return Outcome(file, "skipped")
            _index(client, file, (metadata or {}).get(file.id), retry_after_s)
        except (InvalidInput, DeadlineExceeded) as error:
            return Outcome(file, "failed", str(error))
        except ServerUnavailable as error:
            # Others may be taken all the same, where it is this file that the server can't cope with.
            if not client.ready():
                raise
            return Outcome(file, "failed", str(error))
        return Outcome(file, "indexed")

    try:
        futures: list[Future[Outcome]] = [pool.submit(work, file) for file in files]
        for future in as_completed(futures):
            yield future.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _index(
    client: Client, file: NamedVideo, metadata: Mapping[str, Any] | None, retry_after_s: Sequence[float]
) -> None:
    for wait in retry_after_s:
        try:
            client.index(file.path, file.id, metadata=metadata)
            return
        except ServerUnavailable:
            time.sleep(wait)
    client.index(file.path, file.id, metadata=metadata)
