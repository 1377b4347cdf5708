"""The server under test: an embedded one with a synthetic gallery, or one that runs already."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from ...export.bundle.scorers import scan_limit, shortlist_size
from ...export.bundle.store import Bundle
from ...serving.client.sync import Client
from ...serving.serve import running
from ..inputs.gallery import synthetic
from .processes import server_on

_READY_S = 10.0


@dataclass(frozen=True)
class Target:
    """Where requests go and metrics come from, the server's process id if it is this machine's, and what it serves."""

    address: str
    metrics: str | None
    pid: int | None
    model: str
    videos: int


@contextlib.contextmanager
def embedded(bundle: Path, videos: int, cache: Path | None = None) -> Iterator[Target]:
    """An embedded server for ``bundle`` while the block runs.

    Its gallery is a copy of the synthetic one, so that nothing which is indexed stays.
    """
    opened = Bundle.open(bundle)
    videos = searchable(opened, videos)
    source = synthetic(opened, videos, cache)
    folder = Path(tempfile.mkdtemp(prefix="framesift-bench-"))
    try:
        shutil.copytree(source, folder / "gallery")
        click.echo(f"starting a server for {bundle}, {videos} videos", err=True)
        with running(opened, folder / "gallery") as server:
            yield Target(server.address, server.address, server.pid, bundle.resolve().name, videos)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def searchable(bundle: Bundle, videos: int) -> int:
    """So many videos, or as many as a search may read where it reads every one."""
    limit = scan_limit(bundle.manifest)
    if limit is None or shortlist_size(bundle.manifest) is not None or videos <= limit:
        return videos
    click.echo(f"a search reads every video, {limit} at most: a gallery of {limit}, not {videos}", err=True)
    return limit


@contextlib.contextmanager
def existing(address: str, metrics: str | None = None) -> Iterator[Target]:
    """The server at ``address``, host:port of its gRPC; ``metrics`` is that of its metrics.

    Raises:
        ServerUnavailable: it does not answer.
    """
    with Client(address) as client:
        client.wait_ready(_READY_S)
        yield Target(address, metrics, server_on(address), address, client.lookup([]).count)
